// PostgreSQL's data directory on a shared directory whose users are the VM's.

import assert from "node:assert/strict";
import type { ShareGuest } from "./share-guest.js";

export interface PostgresLoad {
  /** Rows of pgbench's biggest table, in hundreds of thousands; 0: none of its tables, and a smaller one. */
  readonly scale: number;
  readonly clients: number;
  /** Of each client. */
  readonly transactions: number;
}

const USER = { user: "postgres", timeoutMs: 1_200_000 };
const PREPARE = `
  export PATH=/usr/lib/postgresql/15/bin:$PATH PGDATA=/work/pg PGHOST=/tmp LC_ALL=C.UTF-8
  start() { pg_ctl -s -w -t 300 -l /tmp/log -o "-k /tmp -c listen_addresses=" start || { cat /tmp/log >&2; exit 1; }; }
  cd /tmp
`;
/** Each transaction of a client of its own is one row; together they change one number. */
const TRANSACTION = `
  begin;
  insert into done default values;
  update counter set n = n + 1;
  commit;
`;
const LOOK = `
  psql -Atc "select count(*) from done; select n from counter; show fsync; show data_checksums"
`;
/** Each index against its table. */
const CHECK = `${LOOK}
  pg_amcheck --install-missing --heapallindexed postgres && echo sound
`;

/** Makes a cluster, loads it, kills it, stops it; `restart` is a new start of the VM in between. */
export async function postgres(
  guest: ShareGuest,
  load: PostgresLoad,
  restart: () => Promise<void>,
): Promise<void> {
  const sh = (script: string) => guest.sh(`${PREPARE}${script}`, USER);
  await guest.sh("install -d -o postgres -g postgres -m 700 /work/pg");
  const total = String(load.clients * load.transactions);
  const whole = [total, total, "on", "on"];
  await sh(`
    initdb --auth=trust --data-checksums > /tmp/initdb; start
    psql -qc "create table done (id serial primary key); create table counter as select 0 as n"
    ${load.scale === 0 ? "" : `pgbench -q -i -s ${load.scale} > /tmp/init 2>&1`}
    cat > /tmp/one.sql <<'SQL'${TRANSACTION}SQL
    pgbench -n -f /tmp/one.sql -c ${load.clients} -t ${load.transactions} > /tmp/bench 2>&1 || { cat /tmp/bench >&2; exit 1; }
  `);
  assert.deepEqual((await sh(LOOK)).split("\n"), whole, "what was committed");
  // As a power cut: what comes back was fsynced, or is in the log that was.
  const recovered = await sh(
    `pg_ctl -s -m immediate stop; start; grep -c 'database system was not properly shut down' /tmp/log${CHECK}`,
  );
  assert.deepEqual(recovered.split("\n"), ["1", ...whole, "sound"], "after a crash");
  await sh("pg_ctl -s -m fast stop; pg_checksums --check");
  await restart();
  assert.deepEqual((await sh(`start${LOOK}`)).split("\n"), whole, "after a restart of the VM");
  await sh("pg_ctl -s -m fast stop; pg_checksums --check");
}

// SQLite on a shared directory: two writers and a reader at once, in the VM; the host looks at it once they have closed it.

import assert from "node:assert/strict";
import type { ShareGuest } from "./share-guest.js";

export interface SqliteLoad {
  /** Of the journal: `wal` has shared memory, `delete` has locks alone. */
  readonly mode: "wal" | "delete";
  /** Of each writer. */
  readonly transactions: number;
}

export async function sqlite(guest: ShareGuest, { mode, transactions }: SqliteLoad): Promise<void> {
  const file = `${mode}.db`;
  // One number that both writers count up: an update that is lost shows.
  const one = "begin immediate; insert into t values (@%s@, %d); update c set n = n + 1; commit;";
  const writer = (name: string) => `
    awk 'BEGIN { print ".timeout 600000"; for (i = 0; i < ${transactions}; i++) printf "${one}\\n", "${name}", i }' |
      tr @ "'" | sqlite3 -bail ${file} > /tmp/${name} 2>&1`;
  const look = "select (select count(*) from t) = (select n from c), n from c";
  const query = "pragma integrity_check; select who, count(*), max(n) from t group by who; select n from c";
  const said = await guest.sh(
    `
    cd /work
    sqlite3 ${file} 'pragma journal_mode = ${mode}; create table t (who text, n int, unique (who, n)); create table c as select 0 as n'
    (${writer("a")}) & a=$!
    (${writer("b")}) & b=$!
    n=0; while [ "$n" -lt ${2 * transactions} ]; do
      kill -0 $a 2> /dev/null || kill -0 $b 2> /dev/null || break
      seen=$(sqlite3 -cmd '.timeout 600000' ${file} '${look}')
      case "$seen" in 1\\|*) n=\${seen#1|} ;; *) echo "half of a transaction: $seen"; exit 1 ;; esac
    done
    wait $a; wait $b; cat /tmp/a /tmp/b
    sqlite3 ${file} '${query}'
    [ ${mode} = delete ] || sqlite3 ${file} 'pragma wal_checkpoint(truncate)'
  `,
    { timeoutMs: 50 * 60_000 },
  );
  const last = transactions - 1;
  const rows = ["ok", `a|${transactions}|${last}`, `b|${transactions}|${last}`, String(2 * transactions)];
  assert.deepEqual(said.split("\n"), [mode, ...rows, ...(mode === "delete" ? [] : ["0|0|0"])]);
  // A copy: a database that two kernels have open is nobody's.
  const seen = await guest.host(
    `copy=$(mktemp); cp ${file} "$copy"; sqlite3 "$copy" '${query}'; rm "$copy"*`,
  );
  assert.deepEqual(seen.split("\n"), rows);
}

/** A writer that is killed between any two of its calls: what it had said to be committed is there. */
export async function killedWriter(guest: ShareGuest): Promise<void> {
  const said = await guest.sh(`
    cd /work; sqlite3 killed.db 'pragma journal_mode = wal; create table t (n)' > /dev/null
    awk 'BEGIN { for (i = 1; i < 100000; i++) printf "insert into t values (%d); select %d;\\n", i, i }' > /tmp/lines
    sqlite3 killed.db < /tmp/lines > /tmp/told & writer=$!
    until grep -qx 50 /tmp/told; do :; done
    kill -9 $writer; wait $writer || true
    # The last line may be half of one.
    told=$(sed '$d' /tmp/told | tail -n 1)
    sqlite3 killed.db "pragma integrity_check; select count(*) = max(n), max(n) >= $told from t"
  `);
  assert.equal(said, "ok\n1|1");
}

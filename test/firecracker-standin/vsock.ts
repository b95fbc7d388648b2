// Firecracker's vsock socket on the host's side: `CONNECT <port>\n`, `OK <host port>\n`, then the stream; closed where
// nobody listens in the guest, never answered where the guest has no driver yet. Behind it one virtio-serial port, which the guest "listens" on while it has it open.

import { connect, createServer, type Server, type Socket } from "node:net";

/** The one port that the guest's agent serves. */
const GUEST_PORT = 1024;
const MAX_REQUEST_BYTES = 32;

export class VsockBridge {
  readonly #server: Server;
  readonly #channelPath: string;
  readonly #clients = new Set<Socket>();
  #guestListens = false;
  #driverIsUp = false;
  #turn: Promise<void> = Promise.resolve();
  #nextHostPort = 1073741824;

  private constructor(channelPath: string) {
    this.#channelPath = channelPath;
    this.#server = createServer({ allowHalfOpen: false }, (client) => this.#accept(client));
  }

  static async listen(udsPath: string, channelPath: string): Promise<VsockBridge> {
    const bridge = new VsockBridge(channelPath);
    await new Promise<void>((resolve, reject) => {
      bridge.#server.once("error", reject);
      bridge.#server.listen(udsPath, resolve);
    });
    return bridge;
  }

  setGuestListens(listens: boolean): void {
    this.#guestListens = listens;
    if (listens) this.#driverIsUp = true;
    if (!listens) for (const client of this.#clients) client.destroy();
  }

  close(): void {
    this.setGuestListens(false);
    for (const client of this.#clients) client.destroy();
    this.#server.close();
  }

  #accept(client: Socket): void {
    this.#clients.add(client);
    client.once("close", () => this.#clients.delete(client));
    client.on("error", () => client.destroy());
    let request = "";
    const onReadable = () => {
      for (let byte = client.read(1); byte !== null; byte = client.read(1)) {
        request += byte.toString("latin1");
        if (request.endsWith("\n")) {
          client.off("readable", onReadable);
          return this.#serve(client, request);
        }
        if (request.length > MAX_REQUEST_BYTES) return client.destroy();
      }
    };
    client.on("readable", onReadable);
  }

  /** One stream at a time fits through the serial port: the next one begins when the one before has closed. */
  #serve(client: Socket, request: string): void {
    const port = /^connect ([0-9]+)\n$/i.exec(request)?.[1];
    if (Number(port) !== GUEST_PORT) {
      client.destroy();
      return;
    }
    if (!this.#driverIsUp) return; // the request is lost: the client waits for nothing
    this.#turn = this.#turn.then(() => this.#carry(client));
  }

  #carry(client: Socket): Promise<void> {
    return new Promise((resolve) => {
      if (client.destroyed || !this.#guestListens) {
        client.destroy();
        return resolve();
      }
      const channel = connect(this.#channelPath);
      channel.on("error", () => client.destroy());
      channel.once("close", () => {
        client.destroy();
        resolve();
      });
      client.once("close", () => channel.destroy());
      channel.once("connect", () => {
        client.write(`OK ${this.#nextHostPort++}\n`);
        client.pipe(channel);
        channel.pipe(client);
      });
    });
  }
}

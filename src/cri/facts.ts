// What the daemon knows of itself and the services say.

/** What the services say of kilnd itself. */
export interface CriFacts {
  readonly version: string;
  readonly dataRoot: string;
  readonly runRoot: string;
}

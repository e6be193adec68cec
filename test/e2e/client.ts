// One docker command at one API version, as the tests of clients drive it against a host. What a person does with it is session.ts.
import { type Host, type Output, until } from "./host.ts";

/** How `script` shows the end of its own standard input. */
const END_OF_INPUT = /\^[@D]/g;

export class Client {
  readonly host: Host;
  /** For test names and as a prefix of what this client makes: "v28-1.41". */
  readonly name: string;
  readonly #program: string;
  readonly #api: string;

  /** @param api the version asked for; absent: the newest that this client and the daemon both speak */
  static async of(host: Host, name: string, program: string, api?: string): Promise<Client> {
    const env = api === undefined ? {} : { DOCKER_API_VERSION: api };
    const { stdout } = await host.run([program, "version", "-f", "{{.Client.APIVersion}}"], { env });
    return new Client(host, `${name}-${stdout.trim()}`, program, stdout.trim());
  }

  private constructor(host: Host, name: string, program: string, api: string) {
    this.host = host;
    this.name = name;
    this.#program = program;
    this.#api = api;
  }

  /** The names of what it makes begin with this: a DNS label. */
  get prefix(): string {
    return this.name.replaceAll(".", "-");
  }

  /** Whether commands and flags of this API version work with it: 1.N. */
  has(minor: number): boolean {
    return Number(this.#api.split(".")[1]) >= minor;
  }

  try(args: readonly string[], input?: string): Promise<Output> {
    const env = { DOCKER_API_VERSION: this.#api };
    return this.host.run([this.#program, ...args], { env, ...(input === undefined ? {} : { input }) });
  }

  /** Its standard output. @throws when it fails, with what it printed */
  async docker(...args: string[]): Promise<string> {
    const { stdout, stderr, code } = await this.try(args);
    if (code !== 0) throw new Error(`${this.name}: docker ${args.join(" ")} exited with ${code}: ${stderr}${stdout}`);
    return stdout.trimEnd();
  }

  async json(...args: string[]): Promise<Readonly<Record<string, unknown>>> {
    const [first] = JSON.parse(await this.docker(...args)) as Record<string, unknown>[];
    if (!first) throw new Error(`${this.name}: docker ${args.join(" ")} printed an empty list`);
    return first;
  }

  /** The same on a terminal of 33 rows and 77 columns; what the terminal shows, with Unix line ends. */
  async onTerminal(...args: string[]): Promise<Output> {
    const line = [this.#program, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
    const argv = ["script", "-qec", `stty rows 33 cols 77; exec ${line}`, "/dev/null"];
    const shown = await this.host.run(argv, { env: { DOCKER_API_VERSION: this.#api, TERM: "vt100" } });
    return { ...shown, stdout: shown.stdout.replaceAll("\b", "").replaceAll("\r\n", "\n").replace(END_OF_INPUT, "") };
  }

  /** Waits until a service has this many tasks in state Running, and no older task is on its way down. */
  async runs(service: string, wanted: number): Promise<void> {
    await until(async () => {
      const states = (await this.docker("service", "ps", service)).split("\n").slice(1);
      return states.filter((line) => /\bRunning +Running /.test(line)).length === wanted;
    }, `${wanted} of ${service} run, as ${this.name} sees it`);
  }

  /** The id of a container of a service's task in this slot. */
  container(service: string, slot = 1): Promise<string> {
    return this.docker("ps", "-q", "--filter", `name=${service}.${slot}.`);
  }
}

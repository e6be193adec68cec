// The addresses of one subnet: who has which, and which comes next. Which subnets a network has is in network-pools.ts.
import { formatIp, type Ip, lastOf, type Prefix } from "../../model/ip.ts";

/** Offsets are plain numbers: in a bigger subnet (IPv6) only this many addresses from its start are ever handed out. */
const MAX_OFFSETS = 2 ** 40;

/**
 * Hands out addresses in order, going on from the last one and starting over at the end: a freed address is taken again as late as
 * possible, so that nobody who still remembers it meets a stranger there. Taking one costs a step per address in use that it walks over,
 * and nothing when the space is full.
 */
export class AddressSpace {
  readonly subnet: Prefix;
  /** First and last offset (from the subnet's base) for automatic addresses. */
  readonly #first: number;
  readonly #last: number;
  readonly #owners = new Map<number, string>();
  /** How many of the automatic addresses are in use. */
  #used = 0;
  #next: number;

  /** @param range where automatic addresses come from; the subnet but for its first and last address when absent */
  constructor(subnet: Prefix, range: Prefix = subnet) {
    this.subnet = subnet;
    const offset = (value: bigint) => Number(value - subnet.base < MAX_OFFSETS ? value - subnet.base : MAX_OFFSETS - 1);
    this.#first = Math.max(1, offset(range.base)); // .0 is the network itself
    // IPv4: the subnet's last address is its broadcast.
    this.#last = Math.min(offset(lastOf(range)), offset(lastOf(subnet)) - (subnet.family === 4 ? 1 : 0));
    this.#next = this.#first;
  }

  /** How many automatic addresses are left. */
  get free(): number {
    return Math.max(0, this.#last - this.#first + 1 - this.#used);
  }

  /** The next free address, now `owner`'s; nothing when all are in use. */
  take(owner: string): bigint | undefined {
    if (this.free === 0) return undefined;
    let offset = this.#next;
    while (this.#owners.has(offset)) offset = offset >= this.#last ? this.#first : offset + 1;
    this.#put(offset, owner);
    this.#next = offset >= this.#last ? this.#first : offset + 1;
    return this.subnet.base + BigInt(offset);
  }

  /** Gives this very address to `owner`. @returns false when another has it, or it lies outside */
  reserve(ip: Ip, owner: string): boolean {
    const offset = this.#offsetOf(ip.value);
    if (ip.family !== this.subnet.family || offset === undefined) return false;
    const holder = this.#owners.get(offset);
    if (holder !== undefined) return holder === owner;
    this.#put(offset, owner);
    return true;
  }

  /** Takes the address back, if `owner` has it. @returns whether it had */
  release(value: bigint, owner: string): boolean {
    const offset = this.#offsetOf(value);
    if (offset === undefined || this.#owners.get(offset) !== owner) return false;
    this.#owners.delete(offset);
    if (this.#isAutomatic(offset)) this.#used--;
    return true;
  }

  ownerOf(value: bigint): string | undefined {
    const offset = this.#offsetOf(value);
    return offset === undefined ? undefined : this.#owners.get(offset);
  }

  /** Goes on after this address: for the start, when the order of the past is read from the store. */
  continueAfter(value: bigint): void {
    const offset = this.#offsetOf(value);
    if (offset !== undefined && this.#isAutomatic(offset)) this.#next = offset >= this.#last ? this.#first : offset + 1;
  }

  toString(): string {
    return `${formatIp({ family: this.subnet.family, value: this.subnet.base })}/${this.subnet.length}`;
  }

  #put(offset: number, owner: string): void {
    this.#owners.set(offset, owner);
    if (this.#isAutomatic(offset)) this.#used++;
  }

  #isAutomatic(offset: number): boolean {
    return offset >= this.#first && offset <= this.#last;
  }

  #offsetOf(value: bigint): number | undefined {
    const offset = value - this.subnet.base;
    return offset < 0n || value > lastOf(this.subnet) || offset >= MAX_OFFSETS ? undefined : Number(offset);
  }
}

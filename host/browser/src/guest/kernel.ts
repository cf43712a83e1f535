/**
 * Extism's memory: blocks of bytes that a raw plugin and its host exchange by their offset. Extism has a WebAssembly module for it (its
 * kernel), and a JS SDK around that. Neither is used here: the SDK fetches synchronously in a worker of its own, which knows no policy
 * and no budget, and the kernel takes what a guest writes between two blocks for its own list of them (host/RATIONALE.md, "Which of
 * Extism's functions are ours?"). The list is out of the guest's reach here.
 */
import { maxBlocks } from "./limits.js";

interface Block {
  length: number;
  capacity: number; // bytes that the block keeps when it is given back
  own: boolean; // the guest's: it may write to it
}

/** Offset 0 is no block. */
const first = 64;

export class Kernel {
  input = { offset: 0, length: 0 };
  output = { offset: 0, length: 0 };
  error = 0;

  private bytes = new Uint8Array(first);
  private top = first;
  private blocks = new Map<number, Block>();
  private offsets: number[] = []; // of the guest's blocks, ascending
  private free = new Map<number, number[]>(); // blocks given back, by capacity
  private last: [offset: number, length: number] = [0, 0]; // where the guest wrote last

  /** room tells whether the memory may have so many bytes in all. */
  constructor(private readonly room: (size: number) => boolean) {}

  /** Bytes that it takes. */
  get size(): number {
    return this.top;
  }

  /** Makes a block of n bytes; 0 where there is no room. */
  alloc(n: number, own: boolean): number {
    const most = own ? maxBlocks : 2 * maxBlocks; // the host's answers have room left, but a guest can ask for them without end
    if (n === 0 || n > 2 ** 32 || this.blocks.size >= most) return 0;
    let capacity = 2 ** Math.max(Math.ceil(Math.log2(n)), 4);
    let offset = this.free.get(capacity)?.pop();
    if (offset === undefined) {
      if (!this.room(this.top + capacity)) capacity = n;
      if (!this.room(this.top + capacity)) return 0;
      offset = this.top;
      this.top += capacity;
      this.grow();
    }
    this.blocks.set(offset, { length: n, capacity, own });
    if (own) this.offsets.splice(this.position(offset), 0, offset);
    return offset;
  }

  private grow(): void {
    if (this.top <= this.bytes.length) return;
    const more = new Uint8Array(Math.max(this.top, this.bytes.length * 2));
    more.set(this.bytes);
    this.bytes = more;
  }

  release(offset: number): void {
    const block = this.blocks.get(offset);
    if (!block) return;
    this.blocks.delete(offset);
    if (block.own) this.offsets.splice(this.position(offset), 1);
    this.last = [0, 0];
    const same = this.free.get(block.capacity);
    if (same) same.push(offset);
    else this.free.set(block.capacity, [offset]);
  }

  /** Takes all of the guest's blocks back; the host's own stay. */
  reset(): void {
    for (const offset of [...this.offsets]) this.release(offset);
  }

  length(offset: number): number {
    return this.blocks.get(offset)?.length ?? 0;
  }

  /** A block's bytes, copied; none for what is no block. */
  read(offset: number): Uint8Array {
    return this.bytes.slice(offset, offset + this.length(offset));
  }

  /** A part of the memory, copied, as far as there is any. */
  range(offset: number, length: number): Uint8Array {
    return this.bytes.slice(Math.min(offset, this.top), Math.min(offset + length, this.top));
  }

  /** Makes a block of bytes; undefined if it doesn't fit. None is offset 0. */
  write(data: Uint8Array): number | undefined {
    if (data.length === 0) return 0;
    const offset = this.alloc(data.length, false);
    if (offset === 0) return undefined;
    this.bytes.set(data, offset);
    return offset;
  }

  load8(offset: number): number {
    return offset < this.top ? this.bytes[offset]! : 0;
  }

  load64(offset: number): bigint {
    if (offset + 8 > this.top) return 0n;
    return new DataView(this.bytes.buffer).getBigUint64(offset, true);
  }

  /** Whether the guest may write n bytes there. */
  holds(offset: number, n: number): boolean {
    let [at, length] = this.last;
    if (offset < at || offset + n > at + length) {
      at = this.offsets[this.position(offset + 1) - 1] ?? 0;
      length = this.length(at);
      if (at === 0 || offset + n > at + length) return false;
      this.last = [at, length];
    }
    return true;
  }

  store8(offset: number, value: number): boolean {
    if (!this.holds(offset, 1)) return false;
    this.bytes[offset] = value;
    return true;
  }

  store64(offset: number, value: bigint): boolean {
    if (!this.holds(offset, 8)) return false;
    new DataView(this.bytes.buffer).setBigUint64(offset, value, true);
    return true;
  }

  /** Where an offset stands, or would, among the guest's. */
  private position(offset: number): number {
    let low = 0;
    let high = this.offsets.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.offsets[middle]! < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

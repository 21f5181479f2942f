/// <reference types="node" />
/// <reference lib="esnext.disposable" />

// Times are milliseconds. Values are Buffers unless a codec says otherwise; strings are taken as UTF-8.

/** A key or plain value. A string is taken as UTF-8. */
export type Bytes = string | Uint8Array

/** How many replicas answer before an operation returns. */
export type Consistency = 'one' | 'quorum' | 'all' | 'local_one' | 'local_quorum' | 'each_quorum'

/** What a bucket shows when a key has several live siblings. */
export type Resolver = 'lww' | 'siblings'

/** What ends an operation early. */
export interface Abortable {
  /** Aborting it rejects the operation with a CanceledError whose cause is the signal's reason. */
  signal?: AbortSignal | undefined
}

export interface Common extends Abortable {
  /** A named level; not together with `r` or `w`. */
  consistency?: Consistency | undefined
  /** How long the operation may take. */
  timeout?: number | undefined
  /** Whether fallbacks count. Not in this version. */
  sloppy?: boolean | undefined
}

export interface ReadOptions extends Common {
  /** Owners that must answer, 1 to the bucket's n. */
  r?: number | undefined
}

export interface WriteOptions extends Common {
  /** Owners that must have stored it, 1 to the bucket's n. */
  w?: number | undefined
  /** When the value expires. 0: never, whatever the bucket says. */
  ttl?: number | undefined
  /** What the writer has seen: the siblings that it covers are superseded. */
  context?: Context | undefined
}

/** `update` puts with the context of what it reads, `putMany` writes several keys. */
export type WriteManyOptions = Omit<WriteOptions, 'context'>

export interface Range {
  /** Only keys that begin so. */
  prefix?: Bytes | undefined
  /** Only keys at or after this one. */
  start?: Bytes | undefined
  /** Only keys before this one. */
  end?: Bytes | undefined
}

export interface ScanOptions extends ReadOptions, Range {
  /** At most so many items. */
  limit?: number | undefined
}

/** What a reader or writer has seen of a key. Opaque; valid for one key of one bucket of one cluster. */
export class Context {
  private constructor(token: Uint8Array)
  /** The context of an earlier `toString` or `toJSON`. */
  static from(text: string): Context
  /** The context as base64url. */
  toString(): string
  toJSON(): string
}

/** What a write did. */
export interface Receipt {
  readonly context: Context
  /** Owners that had stored it when the call returned. */
  readonly owners: number
  /** Fallbacks that had stored it in a marked copy. */
  readonly fallbacks: number
}

/** Every live sibling of a key. */
export interface Entry<V = Buffer> {
  /** Empty: absent. */
  readonly siblings: readonly V[]
  readonly context: Context
  /** Whether more than one sibling is live. */
  readonly conflicted: boolean
  /** What the resolver picks. Throws ConflictError when it cannot decide. */
  readonly value: V | undefined
  /** For each sibling, when it expires. */
  readonly expires: readonly (Date | undefined)[]
}

/** What `put` takes where `get` gives V. */
export type Input<V> = V extends Buffer ? Bytes : V

/** A named keyspace of a store. */
export class Bucket<V = Buffer> {
  protected constructor(...internal: never)
  readonly name: string
  /** The value that the resolver picks. */
  get(key: Bytes, o?: ReadOptions): Promise<V | undefined>
  /** Every live sibling and the context. */
  read(key: Bytes, o?: ReadOptions): Promise<Entry<V>>
  put(key: Bytes, value: Input<V>, o?: WriteOptions): Promise<Receipt>
  delete(key: Bytes, o?: WriteOptions): Promise<Receipt>
  /**
   * Reads every live sibling, lets `fn` make one value of them, and puts it with their context.
   * `fn` may be async; `undefined` deletes, and what it throws ends the update.
   */
  update(key: Bytes, fn: (siblings: readonly V[]) => Input<V> | Promise<Input<V>>, o?: WriteManyOptions): Promise<V>
  update(
    key: Bytes,
    fn: (siblings: readonly V[]) => Input<V> | undefined | Promise<Input<V> | undefined>,
    o?: WriteManyOptions
  ): Promise<V | undefined>
  /** The values in the order of the keys. Throws PartialFailureError when some fail. */
  getMany(keys: Iterable<Bytes>, o?: ReadOptions): Promise<(V | undefined)[]>
  /** Throws PartialFailureError when some fail. */
  putMany(items: Iterable<[Bytes, Input<V>]>, o?: WriteManyOptions): Promise<void>
  /** Key and value in key order; not a snapshot. A key in conflict rejects one `next`, and the following goes on. */
  scan(o?: ScanOptions): AsyncIterableIterator<[Buffer, V]>
  count(o?: ScanOptions): Promise<number>
  /** Deletes what it sees and gives how many. */
  clear(o?: ScanOptions): Promise<number>
  /** Where a key lives, what each of its replicas holds, and what reads would answer now. */
  explain(key: Bytes, o?: Abortable): Promise<Explanation>
}

/** What a replica holds of a key. */
export interface HeldRecord {
  /** Live siblings. */
  values: number
  /** Deletes among the siblings. */
  tombstones: number
  /** Siblings whose time to live is over. */
  expired: number
  /** Equal hashes are equal records. */
  hash: string
  /** When its newest write was made. */
  time: Date
  /** How many milliseconds ago that is by the answering member's clock. */
  age: number
  clockEntries: number
}

/** One replica of a key. */
export interface Replica {
  id: string
  number: number
  role: 'owner' | 'fallback'
  state: 'joining' | 'up' | 'suspect' | 'down' | 'leaving'
  reachable: boolean
  /** Why it was not reached. */
  error: string | undefined
  /** Whether it counts in read quorums: an owner that answered and whose copy is not recovering. */
  counts: boolean
  recovering: boolean
  /** Undefined: it holds nothing, or was not reached. */
  record: HeldRecord | undefined
  /** What the answering member owes it, of any key. */
  hintsOwed: number
}

/** What a read of `r` owners would answer now. */
export interface ReadAnswer {
  r: number
  answer: 'value' | 'absent' | 'siblings' | 'unavailable'
  siblings: number
  /** Why it is unavailable. */
  reason: string | undefined
}

/**
 * One key as one member sees it. Each replica was asked once, at about the same time; nothing in it is agreed.
 * `reads` supposes that the coordinator asks the owners in order of preference and that each answers as it just did; a
 * real read takes whichever owners answer first.
 */
export interface Explanation {
  bucket: string
  partition: number
  epoch: number
  /** The id of the member that asked the replicas. */
  answeredBy: string
  /** The owners, then the fallbacks, each in order of preference. */
  replicas: Replica[]
  /** For r = 1 up to the bucket's n. */
  reads: ReadAnswer[]
}

export interface Member {
  id: string
  number: number
  address: string
  location: string
  state: 'joining' | 'up' | 'suspect' | 'down' | 'leaving'
  /** The share of the default bucket's replicas that it owns, 0 to 1. */
  owns: number
  hintsPending: number
  version: string
}

export interface Status {
  health: 'healthy' | 'degraded' | 'unavailable'
  /** Whether every partition has the owners that the r and w of every bucket ask for. */
  available: boolean
  epoch: number
  partitions: number
  partitionsAvailable: number
  partitionsMoving: number
  members: Member[]
  /** What an operator should know, in sentences. */
  notes: string[]
}

/** A long operation. Not in this version. */
export interface Job {
  /** 0 to 1. */
  readonly progress: number
  done(o?: Abortable): Promise<void>
  cancel(): Promise<void>
}

export interface BucketRules {
  /** Replicas: a number, or a map from data centre to number. */
  n?: number | Record<string, number> | undefined
  r?: number | Consistency | undefined
  w?: number | Consistency | undefined
  /** Not in this version. */
  sloppy?: boolean | undefined
  resolver?: Resolver | undefined
  ttl?: number | undefined
}

export interface BucketInfo {
  name: string
  n: number | Record<string, number>
  r: number | Consistency
  w: number | Consistency
  sloppy: boolean
  resolver: Resolver
  ttl: number | undefined
}

/** One thing that happened, as one member saw it. */
export interface ClusterEvent {
  /** Its number at that member; 0 for what the reader's own side adds. */
  number: number
  time: Date
  /**
   * `member_joined`, `member_up`, `member_suspected`, `member_down`, `member_restarted`, `topology_changed`, `hints_owed`,
   * `hints_delivered`, `hints_collapsed`, `fallback_started`, `fallback_drained`, `refused`; and of the reader's own side
   * `source_changed` (numbers begin anew) and `events_missed`. More may come.
   */
  kind: string
  /** The id and number of the member that it is about. */
  node: string | undefined
  nodeNumber: number | undefined
  /** For people: why, or how much. */
  detail: string
}

export interface ClusterAdmin {
  status(o?: Abortable): Promise<Status>
  /** For each partition the ids of its owners, in order of preference. */
  ring(o?: Abortable): Promise<string[][]>
  /** Creating one that exists with the same rules does nothing. */
  createBucket(name: string, o?: BucketRules & Abortable): Promise<void>
  buckets(o?: Abortable): Promise<BucketInfo[]>
  /** Not in this version. */
  leave(): Promise<Job>
  /** Not in this version. */
  remove(nodeId: string): Promise<Job>
  /** Not in this version. */
  repair(bucket?: string): Promise<Job>
  /** Not in this version. */
  backup(path: string): Promise<Job>
  /** Not in this version. */
  alterBucket(name: string, o: object): Promise<void>
  /** Not in this version. */
  dropBucket(name: string): Promise<Job>
  /** What happens in the cluster from now on, as one member sees it; done once the store is closed. */
  events(o?: Abortable): AsyncIterableIterator<ClusterEvent>
}

/** A node or a client: the same operations. Itself its default bucket. */
export class Store extends Bucket<Buffer> implements AsyncDisposable {
  readonly cluster: ClusterAdmin
  /** A handle; that the bucket exists is judged by each operation. `resolve` decides between live siblings. */
  bucket(name: string, o?: { codec?: 'bytes' | undefined; resolve?: ((siblings: readonly Buffer[]) => Buffer) | undefined }): Bucket<Buffer>
  bucket(name: string, o: { codec: 'utf8'; resolve?: ((siblings: readonly string[]) => string) | undefined }): Bucket<string>
  bucket<T = unknown>(name: string, o: { codec: 'json'; resolve?: ((siblings: readonly T[]) => T) | undefined }): Bucket<T>
  /** Counters and gauges by name. */
  metrics(): Record<string, number>
  /** Waits for operations under way, at most so long. Closing twice is closing once. */
  close(o?: { timeout?: number | undefined }): Promise<void>
  /** Resolves once operations can be served. */
  ready(o?: { timeout?: number | undefined } & Abortable): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** A member of a ring in this process. A listening node keeps the process alive until it is closed, as a net.Server does. */
export class Node extends Store {
  readonly id: string
  /** Where it listens, if it does. */
  readonly address: string | undefined
  ref(): this
  unref(): this
}

/** A store that owns no data. */
export class Client extends Store {}

/** Not in this version. */
export interface TlsConfig {
  readonly [field: string]: unknown
}

export interface OpenOptions extends Abortable {
  /** `host:port` to listen on; port 0 takes a free one. Without it: no port, a cluster of one. */
  listen?: string | undefined
  /** The address that others reach this node at, where it differs from `listen`. */
  advertise?: string | undefined
  /** Members to join by; or, all nodes with one identical list that names themselves, to found by. */
  seeds?: string[] | undefined
  /** Founds a new cluster on an empty directory. */
  create?: boolean | undefined
  /** `cloud/region/zone`. */
  location?: string | undefined
  /** Not in this version. */
  admin?: string | undefined
  /** Share of partitions relative to other members. */
  capacity?: number | undefined
  /** When a write is acknowledged: after fdatasync, or at once with fdatasync every second. */
  durability?: 'sync' | 'interval' | undefined
  /** A power of two, fixed when the cluster is created. */
  partitions?: number | undefined
  /** Not in this version. */
  tls?: TlsConfig | undefined
  /** Allows listening off loopback without TLS. */
  insecure?: boolean | undefined
  /** Further settings, in the names of the settings file: an object, or the path of a TOML file. The options above win. */
  config?: Record<string, unknown> | string | undefined
}

export interface ConnectOptions extends Abortable {
  /** For calls and buckets that say nothing else. */
  consistency?: Consistency | undefined
  /** Whether fallbacks count, for calls and buckets that say nothing else. */
  sloppy?: boolean | undefined
  /** For calls that say nothing else. */
  timeout?: number | undefined
  location?: string | undefined
  /** Not in this version. */
  tls?: TlsConfig | undefined
  /** Not in this version. */
  token?: string | undefined
}

/** Opens a node: in memory without a path, durable with one. Resolves once it listens; see `ready`. */
export function open(path?: string | URL, o?: OpenOptions): Promise<Node>

/** Connects a client. The default is `ringkeep://127.0.0.1:7400`. */
export function connect(uri?: string | string[], o?: ConnectOptions): Promise<Client>

/** Real nodes in this process, for tests. Without a path each keeps its disk in memory. */
export class TestCluster implements AsyncDisposable {
  private constructor(...internal: never)
  /** Three nodes, and three replicas, unless said otherwise. */
  static start(size?: number, o?: { n?: number | undefined; path?: string | undefined }): Promise<TestCluster>
  /** A restarted node is a new object. */
  readonly nodes: Node[]
  client(): Promise<Client>
  /** As kill -9 would: nothing is flushed. */
  kill(i: number): Promise<void>
  /** The same member comes back. */
  restart(i: number): Promise<void>
  /**
   * Cuts the network between groups of nodes, given by index, until `heal`; a later partition replaces it. Nodes that no
   * group names form one more group together. Clients reach everyone.
   */
  partition(...groups: number[][]): Promise<void>
  /** Mends the network; `settle` then waits until the nodes have made up for what they missed. */
  heal(): Promise<void>
  /** Waits until the copies of all nodes that are up are equal. */
  settle(timeout?: number): Promise<void>
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Every error of Ringkeep. `code` is stable: `RINGKEEP_TIMEOUT`, `RINGKEEP_QUORUM_UNAVAILABLE`, … */
export class RingkeepError extends Error {
  readonly code: string
  /** Whether the same request may succeed later. */
  readonly retryable: boolean
  /** False only if nothing can have been stored. */
  readonly maybeApplied: boolean
  /** The operation that failed, or an empty string. */
  readonly operation: string
}
export class TimeoutError extends RingkeepError {
  readonly needed: number
  readonly received: number
}
export class QuorumUnavailableError extends RingkeepError {
  readonly needed: number
  readonly received: number
  /** For each replica that failed, why. */
  readonly replicas: Record<string, string>
}
export class InvalidArgumentError extends RingkeepError {}
export class NoSuchBucketError extends InvalidArgumentError {}
export class ConflictError extends RingkeepError {
  readonly key: Buffer
  readonly siblings: Buffer[]
  readonly context: Context
}
export class ClosedError extends RingkeepError {}
export class LockedError extends RingkeepError {
  /** The process that holds the directory; 0 if it is not known. */
  readonly pid: number
}
export class ForkedError extends RingkeepError {}
export class OverloadedError extends RingkeepError {}
export class CorruptionError extends RingkeepError {}
export class IoError extends RingkeepError {}
export class UnauthorizedError extends RingkeepError {}
export class VersionMismatchError extends RingkeepError {}
export class CanceledError extends RingkeepError {}
export class TooManySiblingsError extends RingkeepError {
  readonly limit: number
}
export class StorageFullError extends RingkeepError {}
export class ClockSkewError extends RingkeepError {}
export class PartialFailureError extends RingkeepError {
  /** The error of each key that failed, by the key as it was given. */
  readonly errors: ReadonlyMap<Bytes, RingkeepError>
  /** What `getMany` got for the others, in the order of the keys. */
  readonly values: readonly unknown[]
}
export class InternalError extends RingkeepError {}

// Every kind of call as an application writes it; compiled with --strict and never run.

import {
  Bucket,
  Client,
  ConflictError,
  Context,
  Node,
  QuorumUnavailableError,
  RingkeepError,
  Store,
  TestCluster,
  TimeoutError,
  connect,
  open,
  type ClusterEvent,
  type Consistency,
  type Entry,
  type Explanation,
  type ReadAnswer,
  type Receipt,
  type Status
} from 'ringkeep'

/** Compiles only if the two types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
function same<A, B>(_: Same<A, B>): void {}

async function plain(db: Store, signal: AbortSignal): Promise<void> {
  const receipt: Receipt = await db.put('k', new Uint8Array(1), { w: 2, timeout: 500, ttl: 0, signal })
  await db.put(Buffer.from('k'), 'v', { context: receipt.context, consistency: 'local_quorum' })
  const value = await db.get('k', { r: 2 })
  same<typeof value, Buffer | undefined>(true)
  const entry: Entry = await db.read('k')
  same<typeof entry.siblings, readonly Buffer[]>(true)
  const expires: Date | undefined = entry.expires[0]
  await db.delete('k', { context: Context.from(String(entry.context)) })
  const updated = await db.update('k', (siblings) => Buffer.concat(siblings))
  same<typeof updated, Buffer>(true)
  const maybe = await db.update('k', async (siblings) => (siblings.length > 1 ? undefined : 'text'), { signal })
  same<typeof maybe, Buffer | undefined>(true)
  const many = await db.getMany(new Set(['a', 'b']))
  same<typeof many, (Buffer | undefined)[]>(true)
  await db.putMany([['a', 'b'], ['c', new Uint8Array(2)]])
  for await (const [key, each] of db.scan({ prefix: 'user:', limit: 10 })) {
    same<typeof key, Buffer>(true)
    same<typeof each, Buffer>(true)
  }
  const counted: number = (await db.count({ prefix: 'user:' })) + (await db.clear())
  void [expires, counted]
}

interface Cart {
  items: string[]
}

async function typed(db: Store): Promise<void> {
  const carts = db.bucket<Cart>('carts', { codec: 'json' })
  same<typeof carts, Bucket<Cart>>(true)
  await carts.put('k', { items: [] })
  // @ts-expect-error a json bucket takes its type
  await carts.put('k', 'milk')
  const cart = await carts.update('k', ([first]) => first ?? { items: [] })
  same<typeof cart, Cart>(true)
  const texts = db.bucket('texts', { codec: 'utf8' })
  const text = await texts.get('k')
  same<typeof text, string | undefined>(true)
  // @ts-expect-error a utf8 bucket takes strings
  await texts.put('k', Buffer.alloc(1))
  db.bucket('raw', { resolve: (siblings) => siblings[0] ?? Buffer.alloc(0) })
  // @ts-expect-error there is no such option
  await db.get('k', { w: 2 })
}

async function stores(): Promise<void> {
  const node: Node = await open('data', { listen: '127.0.0.1:0', create: true, durability: 'sync', config: { n: 2 } })
  const address: string | undefined = node.address
  const level: Consistency = 'each_quorum'
  const client: Client = await connect(['ringkeep://127.0.0.1:7400'], { consistency: level, timeout: 2000 })
  await node.ready({ timeout: 100 })
  const status: Status = await node.cluster.status()
  await node.cluster.createBucket('carts', { n: { eu: 2, us: 1 }, w: 'quorum', r: 1, resolver: 'siblings', ttl: 1000 })
  const names: string[] = (await client.cluster.buckets()).map((bucket) => bucket.name)
  await using cluster = await TestCluster.start(3, { n: 3 })
  await cluster.kill(0)
  await cluster.restart(0)
  await cluster.partition([0], [1, 2])
  await cluster.heal()
  await cluster.settle(1000)
  const explained: Explanation = await client.explain('k')
  const held: Date | undefined = explained.replicas[0]?.record?.time
  const answer: ReadAnswer | undefined = explained.reads[0]
  for await (const event of client.cluster.events({ signal: AbortSignal.timeout(1) })) {
    const seen: ClusterEvent = event
    void [seen.kind, seen.time.getTime(), seen.node, held, answer, status.available]
  }
  node.unref().ref()
  await node.close({ timeout: 100 })
  void [address, status.members[0]?.hintsPending, names, node.metrics()['puts']]
  // @ts-expect-error handles are not made with new
  new Node()
}

function errors(error: unknown): string {
  if (error instanceof TimeoutError) return `${error.received} of ${error.needed}`
  if (error instanceof QuorumUnavailableError) return JSON.stringify(error.replicas)
  if (error instanceof ConflictError) return String(error.siblings.length)
  if (error instanceof RingkeepError) return `${error.code} ${error.retryable} ${error.maybeApplied} ${String(error.cause)}`
  return ''
}

void [plain, typed, stores, errors]

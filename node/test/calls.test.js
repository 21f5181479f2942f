'use strict'
// How calls behave on the event loop: promises, signals, errors with stable codes, and what this version refuses.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const ringkeep = require('..')
const { CanceledError, ClosedError, InvalidArgumentError, RingkeepError, TestCluster, connect, open } = ringkeep

let db
let cluster
let client

before(async () => {
  db = await open()
  await db.ready()
  cluster = await TestCluster.start(3)
  client = await cluster.client()
})
after(async () => {
  await client.close()
  await cluster[Symbol.asyncDispose]()
  await db.close()
})

describe('promises', () => {
  test('a_local_operation_resolves_without_a_turn_of_the_loop', async () => {
    let turned = false
    setImmediate(() => (turned = true))
    await db.put('k', 'v')
    for (let i = 0; i < 100; i++) assert.equal(String(await db.get('k')), 'v')
    assert.equal(turned, false)
  })

  test('many_operations_over_the_network_settle_each_with_its_own_result', async () => {
    const keys = Array.from({ length: 500 }, (_, i) => `k${i}`)
    await Promise.all(keys.map((key) => client.put(key, `v:${key}`)))
    const values = await Promise.all(keys.map((key) => client.get(key)))
    assert.deepEqual(values.map(String), keys.map((key) => `v:${key}`))
  })

  test('every_fault_rejects_and_none_throws', async () => {
    for (const call of [
      () => db.get(),
      () => db.get('k', 'no options'),
      () => db.get('k', { colour: 'red' }),
      () => db.get('k', { timeout: '5' }),
      () => db.get('k', { r: 1.5 }),
      () => db.put('k', 'v', { timeout_ms: 5 }),
      () => db.put('k', 'v', { ttl: NaN }),
      () => db.put('k', 'v', { sloppy: true, consistency: 'all' }),
      () => db.update('k'),
      () => db.count({ prefix: 5 }),
      () => db.close({ timeout: 'soon' }),
      () => db.ready({ timeout: 0 }),
      () => db.cluster.createBucket(''),
      () => db.cluster.createBucket(5),
      () => db.cluster.createBucket('b', { n: 0 }),
      () => db.cluster.createBucket('b', { colour: 'red' }),
      () => open(5),
      () => open(''),
      () => open({ listen: '127.0.0.1:0' }),
      () => open('data', { listen: 5 }),
      () => connect(5),
      () => connect('127.0.0.1:7400', { colour: 'red' }),
      () => TestCluster.start(0),
      () => cluster.kill(3)
    ]) {
      const promise = call()
      assert.ok(promise instanceof Promise)
      await assert.rejects(promise, InvalidArgumentError, String(call))
    }
  })

  test('an_unknown_option_is_named', async () => {
    await assert.rejects(db.get('k', { colour: 1 }), /unknown option "colour"/)
    await assert.rejects(open(undefined, { colour: 1 }), /unknown option "colour"/)
    await assert.rejects(open(undefined, { config: { colour: 1 } }), /"colour"/)
  })
})

describe('signals', () => {
  const reason = new Error('the user left')

  test('an_aborted_signal_rejects_before_anything_is_done', async () => {
    const signal = AbortSignal.abort(reason)
    for (const call of [
      () => db.put('never', 'v', { signal }),
      () => db.get('never', { signal }),
      () => db.read('never', { signal }),
      () => db.delete('never', { signal }),
      () => db.getMany(['never'], { signal }),
      () => db.putMany([['never', 'v']], { signal }),
      () => db.update('never', () => 'v', { signal }),
      () => db.count({ signal }),
      () => db.clear({ signal }),
      () => db.scan({ signal }).next(),
      () => db.ready({ signal }),
      () => db.cluster.status({ signal }),
      () => db.cluster.createBucket('never', { signal }),
      () => open(undefined, { signal }),
      () => connect('ringkeep://127.0.0.1:1', { signal })
    ]) {
      await assert.rejects(call(), (error) => {
        assert.ok(error instanceof CanceledError)
        assert.equal(error.code, 'RINGKEEP_CANCELED')
        assert.equal(error.cause, reason)
        assert.equal(error.maybeApplied, false)
        return true
      })
    }
    assert.equal(await db.get('never'), undefined)
  })

  test('aborting_ends_an_operation_that_is_under_way', async () => {
    const broken = await TestCluster.start(3)
    const kv = await broken.client()
    await broken.kill(1)
    await broken.kill(2)
    const controller = new AbortController()
    const put = (_, i) => kv.put(`late${i}`, 'v', { w: 3, timeout: 20_000, signal: controller.signal })
    const outcomes = Promise.allSettled(Array.from({ length: 20 }, put))
    controller.abort(reason)
    for (const { status, reason: error } of await outcomes) {
      assert.equal(status, 'rejected')
      if (error.code === 'RINGKEEP_QUORUM_UNAVAILABLE') continue // It knew before the signal came.
      assert.equal(error.code, 'RINGKEEP_CANCELED')
      assert.equal(error.cause, reason)
    }
    await kv.close()
    await broken[Symbol.asyncDispose]()
  })

  test('a_signal_holds_no_listener_once_the_operation_ended', async () => {
    const { getEventListeners } = require('node:events')
    const { signal } = new AbortController()
    await Promise.all(Array.from({ length: 50 }, (_, i) => client.get(`k${i}`, { signal })))
    assert.equal(getEventListeners(signal, 'abort').length, 0)
  })

  test('what_is_no_signal_is_refused', async () => {
    await assert.rejects(db.get('k', { signal: {} }), InvalidArgumentError)
  })
})

describe('errors', () => {
  test('every_kind_has_a_class_and_its_code', () => {
    const classes = Object.entries(ringkeep).filter(([name]) => name.endsWith('Error') && name !== 'RingkeepError')
    assert.equal(classes.length, 19)
    for (const [name, Class] of classes) {
      const error = new Class('what happened')
      assert.ok(error instanceof RingkeepError && error instanceof Error)
      assert.equal(error.name, name)
      assert.equal(error.code, `RINGKEEP_${name.replace(/(Failure)?Error$/, '').replace(/(?<=.)([A-Z])/g, '_$1').toUpperCase()}`)
      assert.equal(error.message, 'what happened')
    }
  })

  test('the_cause_is_kept', async () => {
    await assert.rejects(open('/proc/ringkeep/none'), (error) => {
      assert.equal(error.code, 'RINGKEEP_IO')
      assert.match(error.message, /^open: /)
      assert.equal(error.operation, 'open')
      assert.ok(error.cause instanceof Error)
      return true
    })
  })

  test('a_settings_file_that_is_not_there_is_an_io_error', async () => {
    await assert.rejects(open(undefined, { config: '/nowhere/ringkeep.toml' }), /nowhere/)
  })

  test('what_this_version_has_not_says_so', async () => {
    for (const call of [
      () => db.cluster.leave(),
      () => db.cluster.remove('n1'),
      () => db.cluster.repair(),
      () => db.cluster.backup('there'),
      () => db.cluster.alterBucket('default', {}),
      () => db.cluster.dropBucket('default'),
      () => open(undefined, { tls: {} }),
      () => open(undefined, { admin: '127.0.0.1:0' }),
      () => connect('ringkeep://127.0.0.1:1', { tls: {} }),
      () => connect('ringkeep://127.0.0.1:1', { token: 't' })
    ]) {
      await assert.rejects(call(), (error) => error instanceof InvalidArgumentError && /not in this version/.test(error.message), String(call))
    }
  })

  test('handles_are_not_made_with_new', () => {
    for (const Class of [ringkeep.Bucket, ringkeep.Store, ringkeep.Node, ringkeep.Client, TestCluster]) {
      assert.throws(() => new Class(), InvalidArgumentError)
    }
  })
})

describe('close', () => {
  test('closing_twice_is_closing_once', async () => {
    const store = await open()
    await Promise.all([store.close(), store.close()])
    await store.close()
    await store[Symbol.asyncDispose]()
  })

  test('a_closed_store_refuses_everything', async () => {
    const store = await open()
    const bucket = store.bucket('default')
    const scan = store.scan()
    await store.close()
    for (const call of [() => store.get('k'), () => bucket.put('k', 'v'), () => scan.next(), () => store.cluster.status(), () => store.count()]) {
      await assert.rejects(call(), ClosedError)
    }
    assert.throws(() => store.metrics(), ClosedError)
    assert.throws(() => store.bucket('default'), ClosedError)
  })

  test('operations_under_way_settle_when_the_store_closes', async () => {
    const other = await cluster.client()
    const puts = Array.from({ length: 200 }, (_, i) => other.put(`closing${i}`, 'v'))
    const [outcomes] = await Promise.all([Promise.allSettled(puts), other.close({ timeout: 0 })])
    for (const { reason } of outcomes.filter(({ status }) => status === 'rejected')) {
      assert.ok(reason instanceof RingkeepError, reason)
    }
  })
})

describe('events', () => {
  test('a_stream_ends_with_its_store_its_signal_and_its_return', async () => {
    for (const store of [await open(), await cluster.client()]) {
      const ends = [store.cluster.events(), store.cluster.events()]
      await ends[0].return()
      assert.deepEqual(await ends[0].next(), { value: undefined, done: true })
      const stop = new AbortController()
      const stopped = store.cluster.events({ signal: stop.signal })
      const [waiting, returned] = [stopped.next(), ends[1].next()]
      stop.abort()
      await assert.rejects(waiting, CanceledError)
      await ends[1].return()
      assert.equal((await returned).done, true)
      const last = store.cluster.events()
      const [ended] = await Promise.all([last.next(), store.close()])
      assert.equal(ended.done, true)
      assert.equal((await store.cluster.events().next()).done, true)
    }
  })

  test('events_come_in_order', async () => {
    const store = await open()
    const events = store.cluster.events()
    for (const name of ['a', 'b']) await store.cluster.createBucket(name)
    const [first, second] = await Promise.all([events.next(), events.next()])
    assert.deepEqual([first.value.kind, second.value.number], ['topology_changed', first.value.number + 1])
    assert.ok(first.value.time instanceof Date && first.value.node === undefined)
    await store.close()
  })
})

test('bad_groups_and_keys_are_refused', async () => {
  for (const groups of [[0], [[7]], [['a']], [[0], [0]]]) await assert.rejects(cluster.partition(...groups), InvalidArgumentError)
  await cluster.heal()
  for (const key of ['', 7, undefined]) await assert.rejects(db.explain(key), InvalidArgumentError)
  const { replicas } = await db.explain('k')
  assert.equal(replicas[0].id, db.id)
})

test('metrics_and_status_are_plain_objects', async () => {
  for (const value of Object.values(db.metrics())) assert.equal(typeof value, 'number')
  const status = await db.cluster.status()
  assert.deepEqual(status.members.map(({ id }) => id), [db.id])
  assert.equal(typeof status.members[0].hintsPending, 'number')
  assert.equal((await db.cluster.ring()).length, status.partitions)
  const [bucket] = await db.cluster.buckets()
  assert.equal(bucket.name, 'default')
})

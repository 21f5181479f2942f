'use strict'
// What goes in comes out: bytes, codecs, siblings and the functions that decide between them, scans.

const assert = require('node:assert/strict')
const { after, before, describe, test } = require('node:test')
const { Context, ConflictError, InvalidArgumentError, NoSuchBucketError, PartialFailureError, open } = require('..')

let db

before(async () => {
  db = await open()
  await db.ready()
  await db.cluster.createBucket('carts', { resolver: 'siblings' })
})
after(() => db.close())

/** Two live siblings under a key of `carts`. */
async function conflict(key, ...values) {
  const carts = db.bucket('carts')
  for (const value of values) await carts.put(key, value)
  return carts
}

test('a_value_is_a_buffer_of_its_own', async () => {
  const value = Buffer.from('Ada')
  await db.put('k', value)
  value[0] = 0
  const [first, second] = [await db.get('k'), await db.get('k')]
  assert.ok(Buffer.isBuffer(first))
  first[0] = 1
  assert.equal(String(second), 'Ada')
})

test('keys_and_values_are_strings_or_bytes_of_any_kind', async () => {
  const view = new Uint8Array([9, 9, 0, 255, 9]).subarray(2, 4)
  await db.put(view, view)
  assert.deepEqual(await db.get(Buffer.from([0, 255])), Buffer.from([0, 255]))
  await db.put('ключ', '値')
  assert.equal(String(await db.get(new TextEncoder().encode('ключ'))), '値')
  for (const bad of [5, null, undefined, {}, [], new ArrayBuffer(2), '\ud800']) {
    await assert.rejects(db.get(bad), InvalidArgumentError)
    await assert.rejects(db.put('k', bad), InvalidArgumentError)
  }
})

test('a_value_of_every_size_comes_back', async () => {
  for (const size of [0, 1, 4095, 4096, 65534, 65535, 65536, 1 << 20, 8 << 20]) {
    const value = Buffer.alloc(size, 'ab')
    await db.put('sized', value)
    const back = await db.get('sized')
    assert.ok(value.equals(back), `${size} bytes`)
  }
})

describe('codecs', () => {
  test('utf8_takes_and_gives_strings', async () => {
    const texts = db.bucket('default', { codec: 'utf8' })
    await texts.put('t', 'zwölf \ufffd')
    assert.equal(await texts.get('t'), 'zwölf \ufffd')
    await assert.rejects(texts.put('t', Buffer.from('x')), InvalidArgumentError)
    await db.put('t', Buffer.from([0xff]))
    await assert.rejects(texts.get('t'), /not UTF-8/)
  })

  test('json_takes_and_gives_values_and_null_is_one', async () => {
    const values = db.bucket('default', { codec: 'json' })
    for (const value of [{ a: [1, null, 'x'] }, null, 0, '', false, []]) {
      await values.put('j', value)
      assert.deepEqual(await values.get('j'), value)
    }
    assert.equal(await values.get('nothing'), undefined)
    const circle = {}
    circle.self = circle
    for (const bad of [undefined, () => {}, 1n, circle]) await assert.rejects(values.put('j', bad), InvalidArgumentError)
    await db.put('j', '{')
    await assert.rejects(values.get('j'), (error) => error.code === 'RINGKEEP_INVALID_ARGUMENT' && error.cause instanceof SyntaxError)
  })

  test('an_unknown_codec_is_named', () => {
    assert.throws(() => db.bucket('default', { codec: 'pickle' }), /'pickle'/)
    assert.throws(() => db.bucket('default', { kodec: 'json' }), /"kodec"/)
    assert.throws(() => db.bucket(5), InvalidArgumentError)
  })
})

describe('siblings', () => {
  test('a_conflict_carries_what_is_to_be_merged', async () => {
    const carts = await conflict('a', 'milk', 'eggs')
    await assert.rejects(carts.get('a'), (error) => {
      assert.ok(error instanceof ConflictError)
      assert.equal(error.code, 'RINGKEEP_CONFLICT')
      assert.deepEqual(error.key, Buffer.from('a'))
      assert.deepEqual(error.siblings.map(String).sort(), ['eggs', 'milk'])
      assert.ok(error.context instanceof Context)
      return true
    })
    const entry = await carts.read('a')
    assert.ok(entry.conflicted)
    assert.throws(() => entry.value, ConflictError)
    await carts.put('a', 'both', { context: entry.context })
    assert.equal(String(await carts.get('a')), 'both')
  })

  test('a_resolve_function_decides', async () => {
    await conflict('b', 'milk', 'eggs')
    const longest = (siblings) => siblings.reduce((best, each) => (String(each) > String(best) ? each : best))
    const carts = db.bucket('carts', { resolve: longest })
    assert.equal(String(await carts.get('b')), 'milk')
    assert.equal(String((await carts.read('b')).value), 'milk')
    assert.deepEqual((await carts.getMany(['b', 'none'])).map(String), ['milk', 'undefined'])
    const shown = []
    for await (const [key, value] of carts.scan({ prefix: 'b' })) shown.push(`${key}=${value}`)
    assert.deepEqual(shown, ['b=milk'])
  })

  test('an_error_of_the_resolve_function_is_the_calls', async () => {
    await conflict('c', '1', '2')
    const mine = new RangeError('mine')
    const carts = db.bucket('carts', { resolve: () => { throw mine } }) // prettier-ignore
    await assert.rejects(carts.get('c'), mine)
  })

  test('update_sees_every_sibling_and_covers_them', async () => {
    const carts = await conflict('d', '1', '2', '3')
    const merged = await carts.update('d', async (siblings) => siblings.map(String).sort().join('+'))
    assert.deepEqual(merged, Buffer.from('1+2+3'))
    assert.equal(String(await carts.get('d')), '1+2+3')
    assert.equal(await carts.update('d', () => undefined), undefined)
    assert.equal(await carts.get('d'), undefined)
  })

  test('what_the_function_of_an_update_throws_ends_it', async () => {
    const mine = new Error('mine')
    await db.put('u', 'before')
    await assert.rejects(db.update('u', () => { throw mine }), mine) // prettier-ignore
    await assert.rejects(db.update('u', async () => { throw mine }), mine) // prettier-ignore
    await assert.rejects(db.update('u', () => null), InvalidArgumentError)
    await assert.rejects(db.update('u', 'no function'), InvalidArgumentError)
    assert.equal(String(await db.get('u')), 'before')
  })

  test('a_context_survives_its_text', async () => {
    const { context } = await db.put('ctx', 'v')
    const again = Context.from(JSON.parse(JSON.stringify({ context })).context)
    assert.equal(String(again), String(context))
    await db.put('ctx', 'w', { context: again })
    for (const bad of ['no context', 'A', 5, undefined]) assert.throws(() => Context.from(bad), InvalidArgumentError)
    for (const bad of ['text', {}, null, Buffer.alloc(8)]) {
      await assert.rejects(db.put('ctx', 'x', { context: bad }), InvalidArgumentError)
    }
  })
})

describe('many', () => {
  test('values_come_in_the_order_of_the_keys', async () => {
    await db.putMany(new Map([['m1', 'a'], ['m2', 'b']])) // prettier-ignore
    assert.deepEqual((await db.getMany(new Set(['m2', 'mx', 'm1']))).map(String), ['b', 'undefined', 'a'])
    assert.deepEqual(await db.getMany([]), [])
    await assert.rejects(db.getMany('text'), InvalidArgumentError)
    await assert.rejects(db.putMany([['only a key']]), InvalidArgumentError)
  })

  test('an_item_that_fails_leaves_the_rest', async () => {
    const carts = await conflict('e', '1', '2')
    await carts.put('f', 'fine')
    await assert.rejects(carts.getMany(['e', 'f']), (error) => {
      assert.ok(error instanceof PartialFailureError)
      assert.deepEqual([...error.errors.keys()], ['e'])
      assert.ok(error.errors.get('e') instanceof ConflictError)
      assert.deepEqual(error.values.map(String), ['undefined', 'fine'])
      return true
    })
  })
})

describe('scans', () => {
  before(() => db.putMany(Array.from({ length: 1500 }, (_, i) => [`scan:${String(i).padStart(4, '0')}`, `v${i}`])))

  test('a_scan_is_in_key_order_and_ends', async () => {
    const keys = []
    for await (const [key] of db.scan({ prefix: 'scan:' })) keys.push(String(key))
    assert.equal(keys.length, 1500)
    assert.deepEqual(keys, [...keys].sort())
    assert.equal(await db.count({ start: 'scan:0100', end: 'scan:0200' }), 100)
  })

  test('leaving_the_loop_ends_the_scan', async () => {
    const scan = db.scan({ prefix: 'scan:' })
    for await (const _ of scan) break
    assert.deepEqual(await scan.next(), { value: undefined, done: true })
  })

  test('steps_that_do_not_wait_for_each_other_come_in_order', async () => {
    const scan = db.scan({ prefix: 'scan:', limit: 300 })
    const steps = await Promise.all(Array.from({ length: 301 }, () => scan.next()))
    assert.deepEqual(steps.slice(0, 300).map(({ value: [key] }) => Number(String(key).slice(5))), [...Array(300).keys()])
    assert.equal(steps[300].done, true)
  })

  test('a_key_in_conflict_rejects_one_step', async () => {
    const carts = await conflict('g2', '1', '2')
    await carts.put('g1', 'a')
    await carts.put('g3', 'c')
    const scan = carts.scan({ prefix: 'g' })
    assert.equal(String((await scan.next()).value[0]), 'g1')
    await assert.rejects(scan.next(), (error) => error instanceof ConflictError && String(error.key) === 'g2')
    assert.equal(String((await scan.next()).value[0]), 'g3')
    assert.equal((await scan.next()).done, true)
  })

  test('an_unknown_bucket_is_the_first_steps_error', async () => {
    await assert.rejects(db.bucket('nowhere').scan().next(), NoSuchBucketError)
  })
})

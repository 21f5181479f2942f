'use strict'
// What a step of the behaviour suite expects, compared with what came of it.

const assert = require('node:assert/strict')

const EXPIRY_SLACK_MS = 60_000

/** The bytes (or, for a codec, the value) that a case writes down. */
function bytes(form, codec) {
  if (codec === 'json') return Object.hasOwn(Object(form), 'json') ? form.json : form
  if (typeof form === 'string') return codec === 'utf8' ? form : Buffer.from(form)
  if (Object.hasOwn(form, 'hex')) return Buffer.from(form.hex, 'hex')
  if (Object.hasOwn(form, 'repeat')) return Buffer.from(form.repeat.repeat(form.count))
  return assert.fail(`unknown bytes ${JSON.stringify(form)}`)
}

/** A stable code without its prefix. */
function codeOf(error) {
  return String(error?.code).replace(/^RINGKEEP_/, '')
}

function same(actual, form, codec) {
  const expected = bytes(form, codec)
  // A difference of megabytes is not worth printing.
  if (Buffer.isBuffer(expected)) assert.ok(Buffer.isBuffer(actual) && expected.equals(actual), `expected ${short(expected)}, got ${short(actual)}`)
  else assert.deepEqual(actual, expected)
}

function short(value) {
  return Buffer.isBuffer(value) ? JSON.stringify(value.toString('latin1').slice(0, 80)) : JSON.stringify(value)
}

function inAnyOrder(actual, forms, codec) {
  assert.equal(actual.length, forms.length, `${actual.length} siblings`)
  const text = (value) => (Buffer.isBuffer(value) ? value.toString('hex') : JSON.stringify(value))
  assert.deepEqual(actual.map(text).sort(), forms.map((form) => text(bytes(form, codec))).sort())
}

/** The value of a get or update, or of an entry. */
function valueOf(step, result) {
  return step.op === 'read' ? result.value : result
}

function checkItem(item, [key, value], codec) {
  same(item[0], key)
  if (Object.hasOwn(Object(value), 'error')) assert.equal(codeOf(item[1].error), value.error)
  else same(item[1], value, codec)
}

function checkExpires(expires, form) {
  for (const each of expires) {
    if (form === 'never') assert.equal(each, undefined)
    else assert.ok(Math.abs(each - (Date.now() + form.after_ms)) < EXPIRY_SLACK_MS, `expires ${each}`)
  }
}

/** How many replicas are what a case asks for. */
function counts(replicas, form) {
  const is = { reachable: (each) => each.reachable, counting: (each) => each.counts, holding: (each) => each.record !== undefined }
  const count = (name) => replicas.filter(is[name] ?? (({ role }) => role === name)).length
  return Object.fromEntries(Object.keys(form).map((name) => [name, count(name)]))
}

function allIn(parts, texts) {
  for (const part of parts) assert.ok(texts.some((text) => text.includes(part)), `${part} is not in ${JSON.stringify(texts)}`)
}

const CHECKS = {
  value: (form, result, step) => same(valueOf(step, result), form, step.codec),
  absent: (form, result, step) => assert.equal(valueOf(step, result) === undefined, form),
  siblings: (forms, result, step) => inAnyOrder(result.siblings, forms, step.codec),
  conflicted: (form, result) => assert.equal(result.conflicted, form),
  expires: (form, result) => checkExpires(result.expires, form),
  owners: (form, result) => assert.equal(result.owners, form),
  owners_min: (form, result) => assert.ok(result.owners >= form, `owners ${result.owners}`),
  fallbacks: (form, result) => assert.equal(result.fallbacks, form),
  items(forms, result, step) {
    assert.deepEqual(result.map(([key]) => String(key)), forms.map(([key]) => String(bytes(key))))
    forms.forEach((form, index) => checkItem(result[index], form, step.codec))
  },
  items_count: (form, result) => assert.equal(result.length, form),
  first: (form, result) => same(result[0][0], form),
  last: (form, result) => same(result.at(-1)[0], form),
  count: (form, result) => assert.equal(result, form),
  names: (forms, result) => assert.deepEqual(result.map(({ name }) => name).sort(), [...forms].sort()),
  health: (form, result) => assert.equal(result.health, form),
  members: (form, result) => assert.equal(result.members.length, form),
  available: (form, result) => assert.equal(result.available, form),
  partition: (form, result) => assert.equal(result.partition, form),
  reads: (form, result) => assert.deepEqual(result.reads.map(({ answer }) => answer), form, JSON.stringify(result)),
  replicas: (form, result) => assert.deepEqual(counts(result.replicas, form), form, JSON.stringify(result)),
  held({ values, tombstones, ...rest }, result) {
    assert.deepEqual(rest, {})
    const records = result.replicas.map(({ record }) => record).filter((record) => record !== undefined)
    assert.equal(new Set(records.map(({ hash }) => hash)).size, 1)
    for (const record of records) assert.deepEqual([record.values, record.tombstones], [values, tombstones])
    for (const { time, age } of records) assert.ok(time <= new Date() && age >= 0)
  },
  reason_contains: (form, result) => allIn(form, result.reads.map(({ reason }) => reason ?? '')),
  detail_contains: (form, result) => allIn(form, [result.detail])
}

/** `each` of getMany and putMany: the failed items come in one error, by key. */
function checkEach(forms, { value, error }, step) {
  const keys = step.keys ?? step.items.map(([key]) => key)
  if (error !== undefined && codeOf(error) !== 'PARTIAL') throw error
  const failed = [...(error?.errors ?? [])].map(([key, each]) => [String(key), codeOf(each)])
  const expected = forms.map((form, index) => [String(bytes(keys[index])), form.error]).filter(([, code]) => code)
  assert.deepEqual(failed.sort(), expected.sort())
  if (step.op !== 'get_many') return
  const values = error === undefined ? value : error.values
  forms.forEach((form, index) => {
    if (form === 'absent') assert.equal(values[index], undefined)
    else if (form.error === undefined) same(values[index], form.value, step.codec)
  })
}

function checkField(name, form, error) {
  const actual = error[name]
  if (name === 'pid') assert.equal(actual, form === 'own' ? process.pid : form)
  else if (name === 'replicas') checkReplicas(Object.keys(actual), form)
  else if (name === 'key') same(actual, form)
  else if (name === 'siblings') inAnyOrder(actual, form)
  else if (['needed', 'received', 'limit'].includes(name)) assert.equal(actual, form, name)
  else assert.fail(`unknown field ${name}`)
}

function checkReplicas(ids, form) {
  if (typeof form === 'number') assert.equal(ids.length, form)
  else assert.deepEqual(ids.sort(), [...form].sort())
}

function checkError(current, form, error) {
  const { code, retryable, maybe_applied, message_contains = [], fields = {}, ...rest } = form
  assert.deepEqual(Object.keys(rest), [], 'unknown words in error')
  assert.ok(error !== undefined, `expected the error ${code}`)
  assert.ok([code].flat().includes(codeOf(error)), `expected ${code}, got ${codeOf(error)}: ${error.message}`)
  if (retryable !== undefined) assert.equal(error.retryable, retryable, 'retryable')
  if (maybe_applied !== undefined) assert.equal(error.maybeApplied, maybe_applied, 'maybeApplied')
  for (const part of message_contains) {
    const text = current.fill(part).toLowerCase()
    assert.ok(error.message.toLowerCase().includes(text), `${JSON.stringify(text)} is not in ${JSON.stringify(error.message)}`)
  }
  for (const [name, field] of Object.entries(fields)) checkField(name, field, error)
}

/** Fails unless every field of an expectation holds. */
function checkExpectation(current, expect, outcome, step) {
  const { error, aborted, each, ...fields } = expect
  if (each !== undefined) checkEach(each, outcome, step)
  else if (aborted === true) assert.match(outcome.error?.message ?? 'no error', /the merge function gave up/)
  else if (error !== undefined) checkError(current, error, outcome.error)
  else if (outcome.error !== undefined) throw outcome.error
  for (const [name, form] of Object.entries(fields)) {
    const check = CHECKS[name] ?? assert.fail(`unknown expectation ${name}`)
    check(form, outcome.value, step)
  }
}

module.exports = { bytes, checkExpectation, codeOf }

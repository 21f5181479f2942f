'use strict'
// The options of a call on their way to the compiled part, which judges them: as JSON, in the names that every language
// shares. Here is only what JSON cannot carry (signals, contexts, bytes) and what only JavaScript gets wrong.

const { Context } = require('./context.js')
const { checkBytes, show } = require('./codec.js')
const { invalid } = require('./errors.js')

const number = (value) => typeof value === 'number' && Number.isFinite(value)
const text = (value) => typeof value === 'string'
const owners = (value) => Number.isInteger(value)
const level = (value) => owners(value) || text(value)
const flag = (value) => typeof value === 'boolean'
const any = () => true

// For each option its shared name, what it must be, and the test. Times are milliseconds in JavaScript and have their
// unit in the shared name.
const CONSISTENCY = { consistency: ['consistency', 'the name of a level', text] }
const TIMEOUT = { timeout: ['timeout_ms', 'a number of milliseconds', number] }
const SLOPPY = { sloppy: ['sloppy', 'a boolean', flag] }
const TTL = { ttl: ['ttl_ms', 'a number of milliseconds', number] }
const READ = { ...CONSISTENCY, ...TIMEOUT, ...SLOPPY, r: ['r', 'a whole number', owners] }
const WRITE = { ...CONSISTENCY, ...TIMEOUT, ...SLOPPY, ...TTL, w: ['w', 'a whole number', owners] }
const SCAN = { ...READ, limit: ['limit', 'a whole number', owners] }
const CONNECT = {
  ...CONSISTENCY,
  ...SLOPPY,
  ...TIMEOUT,
  location: ['location', 'a string', text],
  token: ['token', 'a string', any],
  tls: ['tls', 'an object', any]
}
const BUCKET = {
  ...SLOPPY,
  ...TTL,
  n: ['n', 'a number or a map from data centre to number', (value) => owners(value) || typeof value === 'object'],
  r: ['r', 'a number or the name of a level', level],
  w: ['w', 'a number or the name of a level', level],
  resolver: ['resolver', 'a string', text]
}

/** Fails unless the options are an object. */
function checkObject(options) {
  if (typeof options === 'object' && options !== null && !Array.isArray(options)) return options
  throw invalid(`options must be an object, not ${show(options)}`)
}

/** Fails for options that a call does not have. */
function checkNames(options, names) {
  const unknown = Object.keys(checkObject(options)).filter((name) => !names.includes(name))
  if (unknown.length > 0) throw unknownOptions(unknown)
}

function unknownOptions(names) {
  return invalid(names.map((name) => `unknown option ${JSON.stringify(name)}`).join('; '))
}

/** The options as JSON; `apart` are the names that travel on their own. */
function encode(options, names, apart) {
  if (options === undefined) return undefined
  let encoded
  let unknown
  for (const name of Object.keys(checkObject(options))) {
    const value = options[name]
    if (Object.hasOwn(names, name)) {
      if (value === undefined) continue
      const [shared, kind, fits] = names[name]
      if (!fits(value)) throw invalid(`${name}=${show(value)} is not ${kind}`)
      ;(encoded ??= {})[shared] = value
    } else if (!apart.includes(name)) {
      ;(unknown ??= []).push(name)
    }
  }
  if (unknown !== undefined) throw unknownOptions(unknown)
  if (encoded === undefined) return undefined
  try {
    return JSON.stringify(encoded)
  } catch (cause) {
    throw invalid(`options: ${cause.message}`, cause)
  }
}

const readOptions = (options) => encode(options, READ, ['signal'])
const writeOptions = (options) => encode(options, WRITE, ['signal', 'context'])
const connectOptions = (options) => encode(options, CONNECT, ['signal'])
const bucketRules = (options) => encode(options, BUCKET, []) ?? '{}'

/** The bytes of the context among a write's options. */
function contextOf(options) {
  return options?.context === undefined ? undefined : Context.token(options.context)
}

const BOUNDS = ['prefix', 'start', 'end']

/** The options of a scan: JSON, and the three bounds. */
function scanOptions(options) {
  const json = encode(options, SCAN, ['signal', ...BOUNDS])
  const [prefix, start, end] = BOUNDS.map((name) => {
    const bound = options?.[name]
    return bound === undefined ? undefined : checkBytes(name, bound)
  })
  return { json, prefix, start, end }
}

/** Milliseconds, or none. */
function milliseconds(name, value) {
  if (value === undefined) return undefined
  if (typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER) return value
  throw invalid(`${name}=${show(value)} is not a number of milliseconds`)
}

module.exports = {
  checkNames,
  checkObject,
  readOptions,
  writeOptions,
  connectOptions,
  bucketRules,
  scanOptions,
  contextOf,
  milliseconds
}

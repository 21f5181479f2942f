'use strict'
// Administration of the cluster that a store belongs to: the compiled part speaks JSON, in the names of all languages.

const { run, now, signalOf } = require('./operations.js')
const { bucketRules, checkNames, checkObject } = require('./options.js')
const { show } = require('./codec.js')
const { Events } = require('./inquiry.js')
const { invalid, notInThisVersion } = require('./errors.js')

class ClusterAdmin {
  #native

  constructor(native) {
    this.#native = native
  }

  async status(o) {
    return status(await this.#ask('status', o))
  }

  async ring(o) {
    return this.#ask('ring', o)
  }

  async buckets(o) {
    return (await this.#ask('buckets', o)).map(bucket)
  }

  async createBucket(name, o = {}) {
    const { signal, ...rules } = checkObject(o)
    if (typeof name !== 'string') throw invalid(`the name of a bucket must be a string, not ${show(name)}`)
    const json = JSON.stringify({ name, ...JSON.parse(bucketRules(rules)) })
    await this.#ask('create_bucket', { signal }, json)
  }

  leave() {
    return refuse('leave')
  }

  remove() {
    return refuse('remove')
  }

  repair() {
    return refuse('repair')
  }

  backup() {
    return refuse('backup')
  }

  alterBucket() {
    return refuse('alterBucket')
  }

  dropBucket() {
    return refuse('dropBucket')
  }

  events(o = {}) {
    checkNames(o, ['signal'])
    return new Events((json, signal) => this.#ask('events', { signal }, json), signalOf(o))
  }

  #ask(command, o = {}, json = '{}') {
    checkNames(o, ['signal'])
    return run((id) => this.#native.admin(id, command, json), signalOf(o), undefined, JSON.parse)
  }
}

function refuse(what) {
  return Promise.reject(notInThisVersion(what))
}

function status({ health, available, epoch, partitions, partitions_available, partitions_moving, members, notes }) {
  return {
    health,
    available,
    epoch,
    partitions,
    partitionsAvailable: partitions_available,
    partitionsMoving: partitions_moving,
    members: members.map(member),
    notes: notes ?? []
  }
}

function member({ hints_pending, ...rest }) {
  return { ...rest, hintsPending: hints_pending }
}

function bucket({ ttl_ms, ...rest }) {
  return { ...rest, ttl: ttl_ms ?? undefined }
}

/** Counters and gauges by name. */
function metrics(native) {
  return JSON.parse(now(() => native.metrics()))
}

module.exports = { ClusterAdmin, metrics }

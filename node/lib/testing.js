'use strict'
// A cluster of real nodes in this process, for tests: they are killed as kill -9 would and come back as the same members.

const { INTERNAL } = require('./bucket.js')
const { show } = require('./codec.js')
const { invalid } = require('./errors.js')
const { loop, run } = require('./operations.js')
const { checkNames, milliseconds } = require('./options.js')
const { Node, asyncDispose, client } = require('./store.js')

class TestCluster {
  #native

  /** Use `TestCluster.start`. */
  constructor(internal, native) {
    if (internal !== INTERNAL) throw invalid('use TestCluster.start')
    this.#native = native
    this.nodes = []
  }

  static async start(size = 3, o = {}) {
    checkNames(o, ['n', 'path'])
    const n = o.n ?? 3
    if (!Number.isInteger(size) || size < 1) throw invalid(`size=${show(size)} is not a number of nodes`)
    if (!Number.isInteger(n) || n < 1) throw invalid(`n=${show(n)} is not a number of replicas`)
    if (o.path !== undefined && typeof o.path !== 'string') throw invalid(`path=${show(o.path)} is not a string`)
    const start = (id) => loop.startCluster(id, size, n, o.path)
    const take = (_, id) => new TestCluster(INTERNAL, loop.takeCluster(id))
    const cluster = await run(start, undefined, undefined, take)
    for (let i = 0; i < size; i++) cluster.#took(i)
    return cluster
  }

  #took(i) {
    this.nodes[i] = new Node(INTERNAL, this.#native.node(i)).unref()
  }

  async client() {
    return run((id) => this.#native.client(id), undefined, undefined, client)
  }

  async kill(i) {
    this.#check(i)
    await run((id) => this.#native.kill(id, i))
  }

  async restart(i) {
    this.#check(i)
    await run((id) => this.#native.restart(id, i))
    this.#took(i)
  }

  async settle(timeout) {
    await run((id) => this.#native.settle(id, milliseconds('timeout', timeout)))
  }

  async partition(...groups) {
    for (const group of groups) {
      if (!Array.isArray(group)) throw invalid(`a group is an array of node indices, not ${show(group)}`)
      for (const i of group) this.#check(i)
    }
    await run((id) => this.#native.partition(id, groups))
  }

  async heal() {
    await run((id) => this.#native.heal(id))
  }

  /** Ends every node. */
  async close() {
    await run((id) => this.#native.close(id))
  }

  [asyncDispose]() {
    return this.close()
  }

  #check(i) {
    if (!Number.isInteger(i) || i < 0 || i >= this.nodes.length) {
      throw invalid(`node ${show(i)} is not between 0 and ${this.nodes.length - 1}`)
    }
  }
}

module.exports = { TestCluster }

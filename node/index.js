'use strict'
// Ringkeep: a replicated key-value store inside your process. index.d.ts describes everything that is exported here.

const { Bucket } = require('./lib/bucket.js')
const { Context } = require('./lib/context.js')
const {
  RingkeepError,
  TimeoutError,
  QuorumUnavailableError,
  InvalidArgumentError,
  NoSuchBucketError,
  ConflictError,
  ClosedError,
  LockedError,
  ForkedError,
  OverloadedError,
  CorruptionError,
  IoError,
  UnauthorizedError,
  VersionMismatchError,
  CanceledError,
  TooManySiblingsError,
  StorageFullError,
  ClockSkewError,
  PartialFailureError,
  InternalError
} = require('./lib/errors.js')
const { Client, Node, Store, connect, open } = require('./lib/store.js')
const { TestCluster } = require('./lib/testing.js')

// Names alone and one by one: `import { open } from 'ringkeep'` finds only what stands here so.
module.exports = {
  open,
  connect,
  Store,
  Node,
  Client,
  Bucket,
  Context,
  TestCluster,
  RingkeepError,
  TimeoutError,
  QuorumUnavailableError,
  InvalidArgumentError,
  NoSuchBucketError,
  ConflictError,
  ClosedError,
  LockedError,
  ForkedError,
  OverloadedError,
  CorruptionError,
  IoError,
  UnauthorizedError,
  VersionMismatchError,
  CanceledError,
  TooManySiblingsError,
  StorageFullError,
  ClockSkewError,
  PartialFailureError,
  InternalError
}

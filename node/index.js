'use strict'
// Ringkeep: a replicated key-value store inside your process. index.d.ts describes everything that is exported here.

const { Bucket } = require('./lib/bucket.js')
const { Context } = require('./lib/context.js')
const errors = require('./lib/errors.js')
const { Client, Node, Store, connect, open } = require('./lib/store.js')
const { TestCluster } = require('./lib/testing.js')

module.exports = {
  open,
  connect,
  Store,
  Node,
  Client,
  Bucket,
  Context,
  TestCluster,
  // Named one by one: `import { TimeoutError } from 'ringkeep'` finds only names that stand here.
  RingkeepError: errors.RingkeepError,
  TimeoutError: errors.TimeoutError,
  QuorumUnavailableError: errors.QuorumUnavailableError,
  InvalidArgumentError: errors.InvalidArgumentError,
  NoSuchBucketError: errors.NoSuchBucketError,
  ConflictError: errors.ConflictError,
  ClosedError: errors.ClosedError,
  LockedError: errors.LockedError,
  ForkedError: errors.ForkedError,
  OverloadedError: errors.OverloadedError,
  CorruptionError: errors.CorruptionError,
  IoError: errors.IoError,
  UnauthorizedError: errors.UnauthorizedError,
  VersionMismatchError: errors.VersionMismatchError,
  CanceledError: errors.CanceledError,
  TooManySiblingsError: errors.TooManySiblingsError,
  StorageFullError: errors.StorageFullError,
  ClockSkewError: errors.ClockSkewError,
  PartialFailureError: errors.PartialFailureError,
  InternalError: errors.InternalError
}

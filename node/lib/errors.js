'use strict'
// The errors: one class for each kind, with the stable code that the kind has in every language.
// `failure` builds the error that a native reply describes; nothing else turns replies into errors.

class RingkeepError extends Error {
  constructor(message, fields = {}) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause })
    this.code = `RINGKEEP_${fields.code ?? new.target.kind ?? 'INTERNAL'}`
    this.retryable = fields.retryable ?? false
    this.maybeApplied = fields.maybe_applied ?? false
    this.operation = fields.operation ?? ''
  }

  get name() {
    return this.constructor.name
  }
}

class TimeoutError extends RingkeepError {
  static kind = 'TIMEOUT'
  constructor(message, fields = {}) {
    super(message, fields)
    this.needed = fields.needed ?? 0
    this.received = fields.received ?? 0
  }
}

class QuorumUnavailableError extends RingkeepError {
  static kind = 'QUORUM_UNAVAILABLE'
  constructor(message, fields = {}) {
    super(message, fields)
    this.needed = fields.needed ?? 0
    this.received = fields.received ?? 0
    this.replicas = fields.replicas ?? {}
  }
}

class ConflictError extends RingkeepError {
  static kind = 'CONFLICT'
  constructor(message, fields = {}) {
    super(message, fields)
    this.key = fields.key
    this.siblings = fields.siblings ?? []
    this.context = fields.context
  }
}

class TooManySiblingsError extends RingkeepError {
  static kind = 'TOO_MANY_SIBLINGS'
  constructor(message, fields = {}) {
    super(message, fields)
    this.limit = fields.limit ?? 0
  }
}

class LockedError extends RingkeepError {
  static kind = 'LOCKED'
  constructor(message, fields = {}) {
    super(message, fields)
    this.pid = fields.pid ?? 0
  }
}

class PartialFailureError extends RingkeepError {
  static kind = 'PARTIAL'
  constructor(message, fields = {}) {
    super(message, fields)
    this.errors = fields.errors ?? new Map()
    this.values = fields.values ?? []
  }
}

class InvalidArgumentError extends RingkeepError {
  static kind = 'INVALID_ARGUMENT'
}
class NoSuchBucketError extends InvalidArgumentError {
  static kind = 'NO_SUCH_BUCKET'
}
class ClosedError extends RingkeepError {
  static kind = 'CLOSED'
}
class ForkedError extends RingkeepError {
  static kind = 'FORKED'
}
class OverloadedError extends RingkeepError {
  static kind = 'OVERLOADED'
}
class CorruptionError extends RingkeepError {
  static kind = 'CORRUPTION'
}
class IoError extends RingkeepError {
  static kind = 'IO'
}
class UnauthorizedError extends RingkeepError {
  static kind = 'UNAUTHORIZED'
}
class VersionMismatchError extends RingkeepError {
  static kind = 'VERSION_MISMATCH'
}
class CanceledError extends RingkeepError {
  static kind = 'CANCELED'
}
class StorageFullError extends RingkeepError {
  static kind = 'STORAGE_FULL'
}
class ClockSkewError extends RingkeepError {
  static kind = 'CLOCK_SKEW'
}
class InternalError extends RingkeepError {
  static kind = 'INTERNAL'
}

const classes = {
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

const byKind = new Map(
  Object.values(classes)
    .filter((each) => Object.hasOwn(each, 'kind'))
    .map((each) => [each.kind, each])
)

/** The error that a native reply describes: `fields` is what it carries beyond its message. */
function failure(fields) {
  const Class = byKind.get(fields.code) ?? RingkeepError
  return new Class(fields.message, { ...fields, cause: fields.cause ?? causes(fields.sources) })
}

/** The causes underneath, outermost first, as nested errors. */
function causes(sources = []) {
  return sources.reduceRight((cause, message) => new Error(message, cause && { cause }), undefined)
}

/** What the arguments of a call lack. */
function invalid(message, cause) {
  return new InvalidArgumentError(message, { cause })
}

/** An operation that a later version brings; the README lists them. */
function notInThisVersion(what) {
  return invalid(`${what}: not in this version`)
}

module.exports = { ...classes, failure, invalid, notInThisVersion }

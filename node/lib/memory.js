'use strict'
// The buffer in which the compiled part passes replies, and how values leave it.

/** Replies up to this size share one buffer that lives as long as the thread; a larger one comes in its own. */
const SCRATCH_BYTES = 64 << 10

const scratch = Buffer.from(new ArrayBuffer(SCRATCH_BYTES))

/** A part of a reply as a Buffer of its own: copied, small ones into Node's pool, unless it is most of a buffer that nobody shares. */
function copy(buffer, start, end) {
  const length = end - start
  if (buffer !== scratch && length * 2 > buffer.length) return buffer.subarray(start, end)
  const bytes = Buffer.allocUnsafe(length)
  buffer.copy(bytes, 0, start, end)
  return bytes
}

module.exports = { scratch, copy }

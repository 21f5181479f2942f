'use strict'
// Loads the compiled part, one file for each platform beside index.js.
// The published package has the file and no install script; in a source tree npm's `prepare` or `make node-package` builds it.

const fs = require('node:fs')
const path = require('node:path')

/** The name of the compiled file: `ringkeep.linux-x64-gnu.node`. */
function fileName() {
  const { platform, arch } = process
  if (platform !== 'linux') return `ringkeep.${platform}-${arch}.node`
  return `ringkeep.${platform}-${arch}-${usesMusl() ? 'musl' : 'gnu'}.node`
}

/** Whether this Node.js was linked against musl: its loader's name stands near the start of the executable. */
function usesMusl() {
  const head = Buffer.alloc(4096)
  const file = fs.openSync(process.execPath)
  try {
    fs.readSync(file, head)
  } finally {
    fs.closeSync(file)
  }
  return head.includes('/ld-musl-')
}

function load() {
  const file = fileName()
  try {
    return require(path.join(__dirname, '..', file))
  } catch (cause) {
    if (cause.code !== 'MODULE_NOT_FOUND') throw cause
    const message = `ringkeep: ${file} is missing. In a source tree, run \`make node-package\` (or \`npm run build\` in node/) first.`
    throw Object.assign(new Error(message, { cause }), { code: 'MODULE_NOT_FOUND' })
  }
}

module.exports = { fileName, load }

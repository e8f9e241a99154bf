// kafkajs: produce, consume. See the module test_languages for the lines.
//
//   node client.js produce ADDRESS TOPIC CODEC COUNT [idempotent]
//   node client.js consume ADDRESS TOPIC COUNT [GROUP]
//   node client.js send-file ADDRESS TOPIC FILE
//   node client.js read-file ADDRESS TOPIC COUNT
'use strict'

const fs = require('fs')
const readline = require('readline')
const { Kafka, CompressionTypes, CompressionCodecs, Partitioners, logLevel } = require('kafkajs')
CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy')

const [command, address, topic, ...rest] = process.argv.slice(2)
const codecs = {
  none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy,
}
const kafka = new Kafka({ brokers: [address], logLevel: logLevel.ERROR })
const idleMs = 30000

async function producing(compression, idempotent, batches) {
  const producer = kafka.producer({
    idempotent, maxInFlightRequests: 1, createPartitioner: Partitioners.DefaultPartitioner,
  })
  await producer.connect()
  for await (const messages of batches) {
    await producer.send({ topic, acks: -1, compression, messages })
  }
  await producer.disconnect()
}

function * numbered(count) {
  for (let first = 0; first < count; first += 500) {
    const messages = []
    for (let i = first; i < Math.min(count, first + 500); i++) {
      messages.push({
        key: `k${i % 7}`, value: `${i} ` + 'ü'.repeat(i % 50),
        headers: { number: String(i), empty: '' },
      })
    }
    yield messages
  }
}

async function * linesOf(path) {
  let messages = []
  for await (const line of readline.createInterface({ input: fs.createReadStream(path) })) {
    messages.push({ value: line, partition: 0 })
    if (messages.length === 5000) {
      yield messages
      messages = []
    }
  }
  if (messages.length) yield messages
}

async function consuming(count, group, each) {
  const consumer = kafka.consumer({ groupId: group || `none-${Date.now()}` })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  const next = new Map()
  let seen = 0
  let alarm
  await new Promise((resolve, reject) => {
    const wait = () => {
      clearTimeout(alarm)
      alarm = setTimeout(() => reject(new Error(`${seen} of ${count} records`)), idleMs)
    }
    wait()
    consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch }) => {
        wait()
        for (const message of batch.messages) {
          if (seen === count) break
          seen++
          next.set(batch.partition, String(BigInt(message.offset) + 1n))
          await each(batch.partition, message)
        }
        if (seen === count) resolve()
      },
    }).catch(reject)
  })
  clearTimeout(alarm)
  if (group) {
    await consumer.commitOffsets(
      [...next].map(([partition, offset]) => ({ topic, partition, offset })))
  }
  await consumer.disconnect()
}

function write(text) {
  if (process.stdout.write(text)) return undefined
  return new Promise((resolve) => process.stdout.once('drain', resolve))
}

const base64 = (data) => data === null ? null : Buffer.from(data).toString('base64')

async function main() {
  if (command === 'produce') {
    await producing(codecs[rest[0]], rest.includes('idempotent'), numbered(Number(rest[1])))
  } else if (command === 'consume') {
    await consuming(Number(rest[0]), rest[1], (partition, message) => write(JSON.stringify({
      partition, offset: Number(message.offset), key: base64(message.key),
      value: base64(message.value),
      headers: Object.entries(message.headers).map(([name, data]) => [name, base64(data)]),
    }) + '\n'))
  } else if (command === 'send-file') {
    await producing(CompressionTypes.None, true, linesOf(rest[0]))
  } else {
    await consuming(Number(rest[0]), undefined,
      (partition, message) => write(Buffer.concat([message.value, Buffer.from('\n')])))
  }
}

// Not before all that was written has left: exit() does not wait for a pipe that is full.
main().then(() => process.stdout.write('', () => process.exit(0)), (error) => {
  console.error(error)
  process.exit(1)
})

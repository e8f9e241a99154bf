// kafkajs as a member of a group. See lib/group_history.py for the events.
//
//   node member.js ADDRESS TOPIC GROUP NAME STRATEGY PROTOCOL INSTANCE
//
// Knows the range strategy alone, and no static members. Leaves when its standard input ends.
'use strict'

const fs = require('fs')
const { Kafka, AssignerProtocol, logLevel } = require('kafkajs')
const { MemberMetadata, MemberAssignment } = AssignerProtocol

const [address, topic, groupId, clientId] = process.argv.slice(2)
const commitEveryMs = 300
const now = () => Number(process.hrtime.bigint())
const say = (e, fields) => fs.writeSync(1, JSON.stringify({ t: now(), e, ...fields }) + '\n')

// Ranges in the order of the member ids, as the other clients have them.
const range = ({ cluster }) => ({
  name: 'range',
  version: 0,
  protocol: ({ topics }) => ({
    name: 'range', metadata: MemberMetadata.encode({ version: 0, topics, userData: Buffer.alloc(0) }),
  }),
  assign: async ({ members }) => {
    const partitions = cluster.findTopicPartitionMetadata(topic).map((p) => p.partitionId)
    partitions.sort((a, b) => a - b)
    const ids = members.map((member) => member.memberId).sort()
    const share = Math.floor(partitions.length / ids.length)
    const more = partitions.length % ids.length
    return ids.map((memberId, i) => {
      const first = i * share + Math.min(i, more)
      const mine = partitions.slice(first, first + share + (i < more ? 1 : 0))
      return {
        memberId,
        memberAssignment: MemberAssignment.encode(
          { version: 0, assignment: { [topic]: mine }, userData: Buffer.alloc(0) }),
      }
    })
  },
})

let generation = null // kafkajs tells it to its log alone
const kafka = new Kafka({
  brokers: [address],
  clientId,
  logLevel: logLevel.DEBUG,
  logCreator: () => ({ log }) => {
    if (log.generationId !== undefined && log.generationId !== null) generation = log.generationId
  },
  retry: { initialRetryTime: 100, maxRetryTime: 1000, retries: 1000 },
})
const consumer = kafka.consumer({
  groupId,
  sessionTimeout: 4000,
  heartbeatInterval: 300,
  rebalanceTimeout: 30000,
  maxWaitTimeInMs: 100,
  metadataMaxAge: 2000,
  partitionAssigners: [range],
})

let term = 0 // grows with each assignment and its end
let owned = new Set()
let next = new Map() // offset to commit
let sent = 0 // commits that the broker has acknowledged

function leaveTerm () {
  term++
  next = new Map()
  owned = new Set()
  say('revoked', { p: null })
}

async function commit () {
  const offsets = [...next]
  if (!offsets.length) return
  const s = now()
  const mine = term
  const before = sent
  try {
    await consumer.commitOffsets(offsets.map(([partition, offset]) =>
      ({ topic, partition, offset: String(offset) })))
  } catch (error) {
    say('commit failed', { s, why: String(error) })
    return // the next heartbeat finds out why
  }
  if (mine !== term || sent === before) {
    // kafkajs drops what was to be committed when it joins again or leaves, and says nothing.
    say('commit failed', { s, why: 'not sent' })
    return
  }
  say('committed', { s, offsets: Object.fromEntries(offsets) })
  for (const [partition, offset] of offsets) {
    if (next.get(partition) === offset) next.delete(partition)
  }
}

async function commitAgainAndAgain () {
  while (true) {
    await new Promise((resolve) => setTimeout(resolve, commitEveryMs))
    await commit()
  }
}

async function main () {
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    term++
    next = new Map()
    const mine = payload.memberAssignment[topic] || []
    owned = new Set(mine)
    say('assigned', { g: generation, p: mine, all: mine })
  })
  consumer.on(consumer.events.COMMIT_OFFSETS, () => { sent++ })
  consumer.on(consumer.events.REBALANCING, leaveTerm)
  consumer.on(consumer.events.CRASH, leaveTerm)
  process.stdin.resume()
  process.stdin.on('end', async () => {
    await consumer.disconnect()
    say('ended')
    process.exit(0)
  })
  say('started')
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  commitAgainAndAgain()
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch, heartbeat, isStale, isRunning }) => {
      if (isStale() || !isRunning() || !owned.has(batch.partition)) return
      if (!batch.messages.length) return
      const runs = []
      for (const message of batch.messages) {
        const offset = Number(message.offset)
        const last = runs[runs.length - 1]
        if (last && last[2] + 1 === offset) last[2] = offset
        else runs.push([batch.partition, offset, offset])
        next.set(batch.partition, offset + 1)
      }
      say('processed', { runs })
      await heartbeat()
    },
  })
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})

// franz-go as a member of a group. See lib/group_history.py for the events.
//
//	client member ADDRESS TOPIC GROUP NAME STRATEGY PROTOCOL INSTANCE
//
// Leaves when its standard input ends. Commits what it has processed, by a call that waits.
package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"sort"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const commitEvery = 300 * time.Millisecond

// now is CLOCK_MONOTONIC, which all programs of the machine share.
func now() int64 {
	var at syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 1, uintptr(unsafe.Pointer(&at)), 0)
	return at.Nano()
}

func say(event string, fields map[string]any) {
	fields["t"], fields["e"] = now(), event
	line, err := json.Marshal(fields)
	check(err)
	_, err = os.Stdout.Write(append(line, '\n'))
	check(err)
}

type groupMember struct {
	sync.Mutex
	topic string
	owned map[int32]bool
	next  map[int32]int64 // offset to commit
}

// commit is called with the lock held.
func (m *groupMember) commit(client *kgo.Client) {
	if len(m.next) == 0 {
		return
	}
	offsets := map[int32]kgo.EpochOffset{}
	said := map[int32]int64{}
	for partition, offset := range m.next {
		offsets[partition] = kgo.EpochOffset{Epoch: -1, Offset: offset}
		said[partition] = offset
	}
	start := now()
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	var failure error
	client.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{m.topic: offsets},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse,
			err error) {
			failure = err
			if answer == nil {
				return
			}
			for _, topic := range answer.Topics {
				for _, partition := range topic.Partitions {
					if failure == nil {
						failure = kerr.ErrorForCode(partition.ErrorCode)
					}
				}
			}
		})
	if failure != nil {
		say("commit failed", map[string]any{"s": start, "why": failure.Error()})
		return
	}
	say("committed", map[string]any{"s": start, "offsets": said})
	m.next = map[int32]int64{}
}

func (m *groupMember) assigned(client *kgo.Client, partitions []int32) {
	m.Lock()
	defer m.Unlock()
	for _, partition := range partitions {
		m.owned[partition] = true
	}
	all := []int{}
	for partition := range m.owned {
		all = append(all, int(partition))
	}
	sort.Ints(all)
	_, generation := client.GroupMetadata()
	say("assigned", map[string]any{"g": generation, "p": partitions, "all": all})
}

func (m *groupMember) letGo(event string, client *kgo.Client, partitions []int32) {
	m.Lock()
	defer m.Unlock()
	if event == "revoked" {
		m.commit(client)
	}
	for _, partition := range partitions {
		delete(m.owned, partition)
		delete(m.next, partition)
	}
	say(event, map[string]any{"p": partitions})
}

func (m *groupMember) processed(fetches kgo.Fetches) {
	runs := [][3]int64{}
	fetches.EachRecord(func(record *kgo.Record) {
		last := len(runs) - 1
		if last >= 0 && runs[last][0] == int64(record.Partition) &&
			runs[last][2]+1 == record.Offset {
			runs[last][2]++
		} else {
			runs = append(runs, [3]int64{int64(record.Partition), record.Offset, record.Offset})
		}
		m.next[record.Partition] = record.Offset + 1
	})
	if len(runs) > 0 {
		say("processed", map[string]any{"runs": runs})
	}
}

func member(address, topic, group, name, strategy, instance string) {
	m := &groupMember{topic: topic, owned: map[int32]bool{}, next: map[int32]int64{}}
	of := func(event string) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, client *kgo.Client, partitions map[string][]int32) {
			ours := append([]int32{}, partitions[topic]...) // never null in JSON
			if event == "assigned" {
				m.assigned(client, ours)
			} else {
				m.letGo(event, client, ours)
			}
		}
	}
	balancer := kgo.CooperativeStickyBalancer()
	if strategy == "range" {
		balancer = kgo.RangeBalancer()
	}
	say("started", map[string]any{})
	options := []kgo.Opt{kgo.SeedBrokers(address), kgo.ClientID(name),
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.Balancers(balancer),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(),
		kgo.SessionTimeout(4*time.Second), kgo.HeartbeatInterval(300*time.Millisecond),
		kgo.RebalanceTimeout(30*time.Second), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.MetadataMaxAge(2*time.Second), kgo.MetadataMinAge(100*time.Millisecond),
		kgo.BlockRebalanceOnPoll(), kgo.OnPartitionsAssigned(of("assigned")),
		kgo.OnPartitionsRevoked(of("revoked")), kgo.OnPartitionsLost(of("lost"))}
	if instance != "" {
		options = append(options, kgo.InstanceID(instance))
	}
	client, err := kgo.NewClient(options...)
	check(err)
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	due := time.Now().Add(commitEvery)
	for staying := true; staying; {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		fetches := client.PollRecords(ctx, 500)
		cancel()
		m.Lock()
		m.processed(fetches)
		if time.Now().After(due) {
			m.commit(client)
			due = time.Now().Add(commitEvery)
		}
		m.Unlock()
		client.AllowRebalance()
		select {
		case <-ended:
			staying = false
		default:
		}
	}
	client.CloseAllowingRebalance()
	say("ended", map[string]any{})
}

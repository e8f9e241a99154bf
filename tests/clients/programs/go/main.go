// franz-go: produce, consume. See the module test_languages for the lines.
//
//	client produce ADDRESS TOPIC CODEC COUNT [idempotent]
//	client consume ADDRESS TOPIC COUNT [GROUP]
//	client send-file ADDRESS TOPIC FILE
//	client read-file ADDRESS TOPIC COUNT
//	client member …                                        (member.go)
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const idle = 30 * time.Second

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func number(word string) int {
	value, err := strconv.Atoi(word)
	check(err)
	return value
}

func codec(name string) kgo.CompressionCodec {
	return map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(),
		"zstd": kgo.ZstdCompression(),
	}[name]
}

func producer(address, codecName string, idempotent bool) *kgo.Client {
	options := []kgo.Opt{kgo.SeedBrokers(address), kgo.ProducerBatchCompression(codec(codecName)),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(5 * time.Millisecond)}
	if !idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	client, err := kgo.NewClient(options...)
	check(err)
	return client
}

func send(client *kgo.Client, record *kgo.Record) {
	client.Produce(context.Background(), record, func(_ *kgo.Record, err error) { check(err) })
}

func flush(client *kgo.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	check(client.Flush(ctx))
	client.Close()
}

type header = [2]any
type line struct {
	Partition int32    `json:"partition"`
	Offset    int64    `json:"offset"`
	Key       []byte   `json:"key"`
	Value     []byte   `json:"value"`
	Headers   []header `json:"headers"`
}

func consume(address, topic string, count int, group string, each func(*kgo.Record)) {
	options := []kgo.Opt{kgo.SeedBrokers(address), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
	if group != "" {
		options = append(options, kgo.ConsumerGroup(group), kgo.DisableAutoCommit())
	}
	client, err := kgo.NewClient(options...)
	check(err)
	var read []*kgo.Record
	for seen := 0; seen < count; {
		ctx, cancel := context.WithTimeout(context.Background(), idle)
		fetches := client.PollRecords(ctx, count-seen)
		cancel()
		check(fetches.Err0())
		fetches.EachRecord(func(record *kgo.Record) {
			each(record)
			if group != "" {
				read = append(read, record)
			}
			seen++
		})
	}
	if group != "" {
		check(client.CommitRecords(context.Background(), read...))
		check(client.LeaveGroupContext(context.Background()))
	}
	client.Close()
}

func main() {
	command, address, topic, rest := os.Args[1], os.Args[2], os.Args[3], os.Args[4:]
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	defer out.Flush()
	switch command {
	case "member":
		member(address, topic, rest[0], rest[1], rest[2], rest[4])
	case "produce":
		client := producer(address, rest[0], len(rest) > 2)
		for i := 0; i < number(rest[1]); i++ {
			send(client, &kgo.Record{Topic: topic, Key: []byte(fmt.Sprintf("k%d", i%7)),
				Value: []byte(fmt.Sprintf("%d ", i) + strings.Repeat("ü", i%50)),
				Headers: []kgo.RecordHeader{{Key: "number", Value: []byte(strconv.Itoa(i))},
					{Key: "empty", Value: []byte{}}}})
		}
		flush(client)
	case "consume":
		group := ""
		if len(rest) > 1 {
			group = rest[1]
		}
		encoder := json.NewEncoder(out)
		consume(address, topic, number(rest[0]), group, func(record *kgo.Record) {
			headers := []header{}
			for _, one := range record.Headers {
				headers = append(headers, header{one.Key, one.Value})
			}
			check(encoder.Encode(line{record.Partition, record.Offset, record.Key, record.Value,
				headers}))
		})
	case "send-file":
		file, err := os.Open(rest[0])
		check(err)
		client := producer(address, "zstd", true)
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			send(client, &kgo.Record{Topic: topic, Value: append([]byte{}, lines.Bytes()...)})
		}
		check(lines.Err())
		flush(client)
	case "read-file":
		consume(address, topic, number(rest[0]), "", func(record *kgo.Record) {
			out.Write(record.Value)
			out.WriteByte('\n')
		})
	}
}

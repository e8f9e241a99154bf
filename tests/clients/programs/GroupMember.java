// Kafka's Java client as a member of a group. See lib/group_history.py for the events.
//
//   GroupMember ADDRESS TOPIC GROUP NAME STRATEGY PROTOCOL INSTANCE
//
// Leaves when its standard input ends. Commits what it has processed, by a call that waits. Runs
// with clients from 2.8 on.

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeSet;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

public final class GroupMember implements ConsumerRebalanceListener {
    private static final long COMMIT_EVERY_NS = 300_000_000;
    private static final FileOutputStream out = new FileOutputStream(FileDescriptor.out);

    private final KafkaConsumer<byte[], byte[]> consumer;
    private final String topic;
    private final TreeSet<Integer> owned = new TreeSet<>();
    private final Map<Integer, Long> next = new HashMap<>(); // offset to commit
    private long commitDue = System.nanoTime() + COMMIT_EVERY_NS;

    private GroupMember(Properties settings, String topic) {
        this.consumer = new KafkaConsumer<>(settings);
        this.topic = topic;
    }

    public static void main(String[] arguments) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("group.id", arguments[2]);
        settings.put("client.id", arguments[3]);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("max.poll.interval.ms", "30000");
        settings.put("fetch.max.wait.ms", "100");
        settings.put("default.api.timeout.ms", "8000");
        settings.put("reconnect.backoff.max.ms", "1000");
        settings.put("metadata.max.age.ms", "2000");
        settings.put("key.deserializer", ByteArrayDeserializer.class.getName());
        settings.put("value.deserializer", ByteArrayDeserializer.class.getName());
        if (!arguments[6].isEmpty()) settings.put("group.instance.id", arguments[6]);
        if (arguments[5].equals("consumer")) {
            settings.put("group.protocol", "consumer");
        } else {
            settings.put("session.timeout.ms", "4000");
            settings.put("heartbeat.interval.ms", "300");
            settings.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer."
                + (arguments[4].equals("range") ? "RangeAssignor" : "CooperativeStickyAssignor"));
        }
        new GroupMember(settings, arguments[1]).run();
    }

    private void run() {
        say("started", "");
        consumer.subscribe(List.of(topic), this);
        while (!inputEnded) {
            StringBuilder runs = new StringBuilder();
            int partition = -1;
            long first = 0;
            long last = 0;
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                if (record.partition() != partition || record.offset() != last + 1) {
                    add(runs, partition, first, last);
                    partition = record.partition();
                    first = record.offset();
                }
                last = record.offset();
                next.put(partition, last + 1);
            }
            add(runs, partition, first, last);
            if (runs.length() > 0) say("processed", ",\"runs\":[" + runs + "]");
            if (System.nanoTime() >= commitDue) {
                commit();
                commitDue = System.nanoTime() + COMMIT_EVERY_NS;
            }
        }
        commit();
        consumer.close();
        say("ended", "");
    }

    /** Nothing but a read tells that a pipe has ended. */
    private static volatile boolean inputEnded;

    static {
        Thread reader = new Thread(() -> {
            try {
                System.in.read();
            } catch (IOException gone) {
                // Ended all the same.
            }
            inputEnded = true;
        });
        reader.setDaemon(true);
        reader.start();
    }

    private static void add(StringBuilder runs, int partition, long first, long last) {
        if (partition < 0) return;
        if (runs.length() > 0) runs.append(',');
        runs.append('[').append(partition).append(',').append(first).append(',').append(last)
            .append(']');
    }

    private void commit() {
        if (next.isEmpty()) return;
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        StringBuilder text = new StringBuilder();
        next.forEach((partition, offset) -> {
            offsets.put(new TopicPartition(topic, partition), new OffsetAndMetadata(offset));
            if (text.length() > 0) text.append(',');
            text.append('"').append(partition).append("\":").append(offset);
        });
        long start = System.nanoTime();
        try {
            consumer.commitSync(offsets);
        } catch (RuntimeException error) {
            say("commit failed", ",\"s\":" + start + ",\"why\":\"" + error.getClass().getSimpleName()
                + "\"");
            return;
        }
        say("committed", ",\"s\":" + start + ",\"offsets\":{" + text + "}");
        next.clear();
    }

    private TreeSet<Integer> numbers(Collection<TopicPartition> partitions) {
        TreeSet<Integer> numbers = new TreeSet<>();
        for (TopicPartition partition : partitions) numbers.add(partition.partition());
        return numbers;
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        TreeSet<Integer> given = numbers(partitions);
        owned.addAll(given);
        say("assigned", ",\"g\":" + consumer.groupMetadata().generationId() + ",\"p\":" + given
            + ",\"all\":" + owned);
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        commit();
        letGo("revoked", partitions);
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
        letGo("lost", partitions);
    }

    private void letGo(String event, Collection<TopicPartition> partitions) {
        TreeSet<Integer> taken = numbers(partitions);
        owned.removeAll(taken);
        next.keySet().removeAll(taken);
        say(event, ",\"p\":" + taken);
    }

    /** One line, by one write. */
    private static void say(String event, String fields) {
        String line = "{\"t\":" + System.nanoTime() + ",\"e\":\"" + event + "\"" + fields + "}\n";
        try {
            out.write(line.getBytes(StandardCharsets.UTF_8));
        } catch (IOException gone) {
            Runtime.getRuntime().halt(1);
        }
    }
}

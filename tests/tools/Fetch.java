import java.io.InputStream;
import java.net.Authenticator;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetSocketAddress;
import java.net.PasswordAuthentication;
import java.net.Socket;
import java.net.URL;
import java.nio.charset.StandardCharsets;

/** Fetches a page by Java's own SOCKS: `url URL`, `unresolved|resolved|datagram HOST PORT`; `-Duser -Dtoken` log in. */
public final class Fetch {
    public static void main(String[] words) throws Exception {
        String user = System.getProperty("user");
        if (user != null) {
            Authenticator.setDefault(new Authenticator() {
                @Override
                protected PasswordAuthentication getPasswordAuthentication() {
                    return new PasswordAuthentication(user, System.getProperty("token").toCharArray());
                }
            });
        }
        if (words[0].equals("url")) {
            try (InputStream page = new URL(words[1]).openStream()) {
                System.out.print(new String(page.readAllBytes(), StandardCharsets.UTF_8));
            }
            return;
        }
        int port = Integer.parseInt(words[2]);
        if (words[0].equals("datagram")) {
            try (DatagramSocket socket = new DatagramSocket()) {
                socket.send(new DatagramPacket(new byte[1], 1, new InetSocketAddress(words[1], port)));
            }
            return;
        }
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

// Dials host:port through a SOCKS5 proxy by golang.org/x/net/proxy and prints the page that it serves, or the error.
package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/net/proxy"
)

func main() {
	var login *proxy.Auth
	if len(os.Args) == 5 {
		login = &proxy.Auth{User: os.Args[3], Password: os.Args[4]}
	}
	dialer, err := proxy.SOCKS5("tcp", os.Args[1], login, proxy.Direct)
	stop(err)
	connection, err := dialer.Dial("tcp", os.Args[2])
	stop(err)
	defer connection.Close()
	_, err = fmt.Fprint(connection, "GET / HTTP/1.0\r\n\r\n")
	stop(err)
	page, err := io.ReadAll(connection)
	stop(err)
	fmt.Print(string(page))
}

func stop(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// go_peer is the other side of the interoperability tests: hashicorp/yamux, the reference implementation.
//
//	go_peer record                          write the frames of a short session to standard output, one line of hex a write
//	go_peer ADDRESS client|server serve     accept streams; the first byte of each says what to do with it
//	go_peer ADDRESS client|server echo N    open N streams at once, send, half-close, compare what comes back
//	go_peer ADDRESS client|server sum SIZE  open a stream, send SIZE bytes, half-close, compare the digest that comes back
//	go_peer ADDRESS client|server reset     open a stream and expect it to be reset
//	go_peer ADDRESS overrun                 break the protocol: one byte more than the window; print the answer
//
// The commands that test something print "ok" or end with a status that is not zero.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

const window = 256 * 1024

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if arguments[0] == "record" {
		return record()
	}
	connection, err := net.Dial("tcp", arguments[0])
	if err != nil {
		return err
	}
	defer connection.Close()
	if arguments[1] == "overrun" {
		return overrun(connection)
	}
	config := yamux.DefaultConfig()
	config.StreamCloseTimeout = 100 * time.Millisecond
	if arguments[2] != "serve" {
		config.StreamCloseTimeout = time.Minute
	}
	begin := yamux.Server
	if arguments[1] == "client" {
		begin = yamux.Client
	}
	session, err := begin(connection, config)
	if err != nil {
		return err
	}
	defer session.Close()
	switch arguments[2] {
	case "serve":
		return serve(session)
	case "echo":
		return echo(session, number(arguments[3]))
	case "sum":
		return sum(session, number(arguments[3]))
	case "reset":
		return expectReset(session)
	}
	return fmt.Errorf("unknown command %q", arguments[2])
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return value
}

// serve accepts streams until the session ends.
func serve(session *yamux.Session) error {
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			return nil
		}
		go answer(stream)
	}
}

func answer(stream *yamux.Stream) {
	command := make([]byte, 1)
	if _, err := io.ReadFull(stream, command); err != nil {
		return
	}
	switch command[0] {
	case 'e': // echo until the end
		io.Copy(stream, stream)
		stream.Close()
	case 's': // the digest of all that comes
		digest := sha256.New()
		io.Copy(digest, stream)
		stream.Write([]byte(hex.EncodeToString(digest.Sum(nil))))
		stream.Close()
	case 'h': // after the end, a megabyte of 'h'
		io.Copy(io.Discard, stream)
		stream.Write(bytes.Repeat([]byte("h"), 1<<20))
		stream.Close()
	case 'g': // send until reset
		for {
			if _, err := stream.Write(make([]byte, 64*1024)); err != nil {
				return
			}
		}
	case 'r': // FIN, and RST when the close times out
		stream.Close()
	case 'n': // read nothing
	case 'w': // read nothing until a second stream says so, then echo
		<-wake
		io.Copy(stream, stream)
		stream.Close()
	case 'W':
		close(wake)
		stream.Close()
	}
}

var wake = make(chan struct{})

func echo(session *yamux.Session, count int) error {
	var group sync.WaitGroup
	failures := make(chan error, count)
	for index := 0; index < count; index++ {
		group.Add(1)
		go func(seed int64) {
			defer group.Done()
			if err := echoOne(session, seed); err != nil {
				failures <- err
			}
		}(int64(index))
	}
	group.Wait()
	close(failures)
	if err := <-failures; err != nil {
		return err
	}
	fmt.Println("ok")
	return nil
}

func echoOne(session *yamux.Session, seed int64) error {
	stream, err := session.OpenStream()
	if err != nil {
		return err
	}
	source := rand.New(rand.NewSource(seed))
	payload := make([]byte, 1+source.Intn(200_000))
	source.Read(payload)
	go func() {
		stream.Write(payload)
		stream.Close()
	}()
	back, err := io.ReadAll(stream)
	if err != nil {
		return err
	}
	if !bytes.Equal(back, payload) {
		return fmt.Errorf("%d bytes sent, %d other bytes back", len(payload), len(back))
	}
	return nil
}

func sum(session *yamux.Session, size int) error {
	stream, err := session.OpenStream()
	if err != nil {
		return err
	}
	digest := sha256.New()
	chunk := make([]byte, 256*1024)
	rand.New(rand.NewSource(1)).Read(chunk)
	for sent := 0; sent < size; sent += len(chunk) {
		binary.BigEndian.PutUint64(chunk, uint64(sent))
		digest.Write(chunk)
		if _, err := stream.Write(chunk); err != nil {
			return err
		}
	}
	stream.Close()
	back, err := io.ReadAll(stream)
	if err != nil {
		return err
	}
	if string(back) != hex.EncodeToString(digest.Sum(nil)) {
		return fmt.Errorf("digest %q came back", back)
	}
	fmt.Println("ok")
	return nil
}

func expectReset(session *yamux.Session) error {
	stream, err := session.OpenStream()
	if err != nil {
		return err
	}
	if _, err := stream.Write([]byte("reset me")); err != nil {
		return err
	}
	if _, err := io.ReadAll(stream); !errors.Is(err, yamux.ErrConnectionReset) {
		return fmt.Errorf("no reset: %v", err)
	}
	fmt.Println("ok")
	return nil
}

func overrun(connection net.Conn) error {
	header := make([]byte, 12)
	binary.BigEndian.PutUint16(header[2:], 1)
	binary.BigEndian.PutUint32(header[4:], 1)
	binary.BigEndian.PutUint32(header[8:], window)
	connection.Write(header)
	connection.Write(make([]byte, window))
	binary.BigEndian.PutUint16(header[2:], 0)
	binary.BigEndian.PutUint32(header[8:], 1)
	connection.Write(header)
	connection.Write([]byte{0})
	answers, err := io.ReadAll(connection)
	fmt.Println(hex.EncodeToString(answers))
	return err
}

// recorder is a connection that notes what is written and never has anything to read.
type recorder struct {
	writes chan []byte
	closed chan struct{}
}

func (r *recorder) Read([]byte) (int, error) {
	<-r.closed
	return 0, io.EOF
}

func (r *recorder) Write(data []byte) (int, error) {
	r.writes <- append([]byte{}, data...)
	return len(data), nil
}

func (r *recorder) Close() error {
	close(r.closed)
	return nil
}

func record() error {
	connection := &recorder{make(chan []byte, 64), make(chan struct{})}
	config := yamux.DefaultConfig()
	config.LogOutput = io.Discard
	session, err := yamux.Client(connection, config)
	if err != nil {
		return err
	}
	go session.Ping()
	fmt.Println(hex.EncodeToString(<-connection.writes))
	stream, err := session.OpenStream()
	if err != nil {
		return err
	}
	stream.Write([]byte("hello"))
	stream.Close()
	session.GoAway()
	session.Close()
	close(connection.writes)
	for data := range connection.writes {
		fmt.Println(hex.EncodeToString(data))
	}
	return nil
}

package main

import (
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	linePieceBytes = 32 << 10 // what one connection puts on the line before another has its turn
	lineQueueBytes = 64 << 20 // in flight and not taken by the far end, a connection; above it the near end waits
	lineBuffer     = 256 << 10
	lineCatchUp    = 5 * time.Millisecond // how far behind a late goroutine may make up for; else a busy machine lowers the rate
)

// wire is one direction of the line, shared by all connections: one piece after another, at its rate.
type wire struct {
	lock        sync.Mutex
	free        time.Time // when the last piece has left the near end
	nanosPerBit float64
}

// put gives the time at which size bytes have left the near end, where they came to it now.
func (w *wire) put(size int, now time.Time) time.Time {
	w.lock.Lock()
	defer w.lock.Unlock()
	if earliest := now.Add(-lineCatchUp); w.free.Before(earliest) {
		w.free = earliest
	}
	w.free = w.free.Add(time.Duration(float64(size*8) * w.nanosPerBit))
	return w.free
}

type piece struct {
	due   time.Time
	bytes []byte
}

var pieces = sync.Pool{New: func() any { bytes := make([]byte, linePieceBytes); return &bytes }}

// runLine relays to o.to until the process is ended; it writes the address that it listens on as its first line.
func runLine(o *options) (result, error) {
	if _, err := onLoopback(o.to); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	raw, err := listener.(*net.TCPListener).SyscallConn()
	if err == nil {
		// A large receive buffer before the line would be a queue that no real line has; inherited by what is accepted.
		raw.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, lineBuffer) })
	}
	fmt.Println(listener.Addr())
	there, back := &wire{}, &wire{}
	if o.mbit > 0 {
		there.nanosPerBit, back.nanosPerBit = 1e3/o.mbit, 1e3/o.mbit
	}
	for {
		near, err := listener.Accept()
		if err != nil {
			return nil, err
		}
		far, err := net.DialTimeout("tcp", o.to, replyLimit)
		if err != nil {
			near.Close()
			continue
		}
		far.(*net.TCPConn).SetReadBuffer(lineBuffer)
		go join(near.(*net.TCPConn), far.(*net.TCPConn), there, back, o.rtt/2)
	}
}

// join carries both ways until both have ended.
func join(near, far *net.TCPConn, there, back *wire, delay time.Duration) {
	done := make(chan struct{})
	go func() { carry(far, near, back, delay); close(done) }()
	carry(near, far, there, delay)
	<-done
	near.Close()
	far.Close()
}

// carry takes bytes from one connection at the wire's rate and gives them to the other after the delay.
func carry(from, to *net.TCPConn, over *wire, delay time.Duration) {
	flying := make(chan piece, lineQueueBytes/linePieceBytes)
	delivered := make(chan struct{})
	go func() { deliver(flying, from, to); close(delivered) }()
	for {
		bytes := *pieces.Get().(*[]byte)
		size, err := from.Read(bytes[:linePieceBytes])
		if err != nil {
			flying <- piece{due: time.Now().Add(delay)}
			break
		}
		now := time.Now()
		left := over.put(size, now)
		if left.Before(now) {
			left = now
		}
		flying <- piece{left.Add(delay), bytes[:size]}
		time.Sleep(time.Until(left))
	}
	close(flying)
	<-delivered
}

// deliver writes each piece when it is due; one without bytes is the end of the direction.
func deliver(flying <-chan piece, from, to *net.TCPConn) {
	for next := range flying {
		time.Sleep(time.Until(next.due))
		if next.bytes == nil {
			to.CloseWrite()
			break
		}
		if _, err := to.Write(next.bytes); err != nil {
			from.Close() // ends the reading side, which closes the queue
			break
		}
		whole := next.bytes[:linePieceBytes]
		pieces.Put(&whole)
	}
	for range flying {
	}
}

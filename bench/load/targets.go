package main

import (
	"io"
	"math/rand"
	"net"
	"sync/atomic"
)

// The first byte of a connection tells the target what to be.
const (
	echoes   = 'e' // sends back what it reads
	swallows = 's' // reads and counts
	pours    = 'p' // writes until the connection ends
)

// pieceBytes is the most that one system call of a bulk stream moves.
const pieceBytes = 256 << 10

// target listens and serves until the process ends. swallowed counts what its sinks have read.
type target struct {
	address   string
	swallowed atomic.Int64
}

func startTarget(address string) (*target, error) {
	if _, err := onLoopback(address); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	t := &target{address: listener.Addr().String()}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				fail(1, "target: %v", err)
			}
			go t.serve(connection.(*net.TCPConn))
		}
	}()
	return t, nil
}

func (t *target) serve(connection *net.TCPConn) {
	defer connection.Close()
	var role [1]byte
	if _, err := io.ReadFull(connection, role[:]); err != nil {
		return
	}
	switch role[0] {
	case echoes:
		var few [512]byte
		for {
			size, err := connection.Read(few[:])
			if err != nil {
				return
			}
			if _, err := connection.Write(few[:size]); err != nil {
				return
			}
		}
	case swallows:
		swallow(connection, &t.swallowed)
	case pours:
		pour(connection)
	}
}

// pour writes until the connection ends. A plain write, as applications do it: pages lent to the kernel by sendfile
// leave the tunnel a costlier copy (a fifth more of its CPU time, tried).
func pour(connection *net.TCPConn) {
	bytes := make([]byte, pieceBytes)
	rand.New(rand.NewSource(1)).Read(bytes)
	for {
		if _, err := connection.Write(bytes); err != nil {
			return
		}
	}
}

// swallow reads until the connection ends and adds to count.
func swallow(connection *net.TCPConn, count *atomic.Int64) {
	bytes := make([]byte, pieceBytes)
	for {
		size, err := connection.Read(bytes)
		count.Add(int64(size))
		if err != nil {
			return
		}
	}
}

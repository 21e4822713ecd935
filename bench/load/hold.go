package main

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// holdOpening is how many streams are being opened at once.
const holdOpening = 32

// openSilent opens n streams and proves each by one byte there and back.
func openSilent(o *options, address string, n int) (opened []*net.TCPConn, failed int, reason string) {
	var lock sync.Mutex
	var all sync.WaitGroup
	turn := make(chan struct{}, holdOpening)
	for i := 0; i < n; i++ {
		turn <- struct{}{}
		all.Add(1)
		go func() {
			defer func() { <-turn; all.Done() }()
			connection, err := o.via.open(address, []byte{echoes, 0})
			if err == nil {
				connection.SetDeadline(time.Now().Add(replyLimit))
				var back [1]byte
				_, err = io.ReadFull(connection, back[:])
				connection.SetDeadline(time.Time{})
			}
			lock.Lock()
			defer lock.Unlock()
			if err != nil {
				failed, reason = failed+1, err.Error()
				return
			}
			opened = append(opened, connection)
		}()
	}
	all.Wait()
	return opened, failed, reason
}

func runHold(o *options) (result, error) {
	to, err := startTarget(o.target)
	if err != nil {
		return nil, err
	}
	// As many streams are open already: the first ones bring along what there is once, and fill memory that lay free
	// since the start.
	first, _, _ := openSilent(o, to.address, o.streams)
	time.Sleep(o.warm)
	before := o.pids.residentBytes()
	held, failed, reason := openSilent(o, to.address, o.streams)
	time.Sleep(o.warm)
	after := o.pids.residentBytes()
	for _, connection := range append(held, first...) {
		connection.Close()
	}
	return result{"held": len(held), "failed": failed, "reason": reason, "before_bytes": before, "after_bytes": after}, nil
}

// kept is what runKeep opened: Go closes connections that nothing refers to.
var kept []*net.TCPConn

// runKeep opens silent streams, writes what came of it as its first line, and keeps them open until the process is ended.
func runKeep(o *options) (result, error) {
	to, err := startTarget(o.target)
	if err != nil {
		return nil, err
	}
	opened, failed, reason := openSilent(o, to.address, o.streams)
	kept = opened
	json.NewEncoder(os.Stdout).Encode(result{"held": len(kept), "failed": failed, "reason": reason})
	select {}
}

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"
)

// replyLimit bounds everything that waits for one answer, so that a stuck tunnel is a failure and not a hang.
const replyLimit = 20 * time.Second

// way is how the target is reached: the kind ("socks5" or "direct") and the address that is dialled for it.
type way struct{ kind, address string }

func (w *way) String() string { return w.kind + ":" + w.address }

func (w *way) Set(text string) error {
	kind, address, found := strings.Cut(text, ":")
	if !found || (kind != "socks5" && kind != "direct") || (kind == "socks5" && address == "") {
		return errors.New("socks5:ADDRESS or direct:[ADDRESS]")
	}
	w.kind, w.address = kind, address
	if address == "" {
		return nil
	}
	_, err := onLoopback(address)
	return err
}

// onLoopback parses an address and refuses all but loopback: a load generator must never hit anyone else.
func onLoopback(address string) (netip.AddrPort, error) {
	parsed, err := netip.ParseAddrPort(address)
	if err == nil && !parsed.Addr().IsLoopback() {
		err = fmt.Errorf("%s is not on loopback", address)
	}
	return parsed, err
}

// open reaches the target and, where first is given, sends it as the first bytes.
func (w *way) open(target string, first []byte) (*net.TCPConn, error) {
	address := w.address
	if address == "" {
		address = target
	}
	plain, err := net.DialTimeout("tcp", address, replyLimit)
	if err != nil {
		return nil, err
	}
	connection := plain.(*net.TCPConn)
	connection.SetDeadline(time.Now().Add(replyLimit))
	if w.kind == "socks5" {
		err = negotiate(connection, target)
	}
	if err == nil {
		_, err = connection.Write(first)
	}
	if err != nil {
		connection.Close()
		return nil, err
	}
	connection.SetDeadline(time.Time{})
	return connection, nil
}

// negotiate is the client's side of RFC 1928 without authentication, CONNECT by address.
func negotiate(connection *net.TCPConn, target string) error {
	if _, err := connection.Write([]byte{5, 1, 0}); err != nil {
		return err
	}
	var head [4]byte
	if _, err := io.ReadFull(connection, head[:2]); err != nil {
		return fmt.Errorf("SOCKS greeting: %w", err)
	}
	if head[0] != 5 || head[1] != 0 {
		return fmt.Errorf("SOCKS greeting was answered by %x", head[:2])
	}
	to, err := onLoopback(target)
	if err != nil {
		return err
	}
	kind := byte(1)
	if to.Addr().Is6() {
		kind = 4
	}
	request := append([]byte{5, 1, 0, kind}, to.Addr().AsSlice()...)
	if _, err := connection.Write(binary.BigEndian.AppendUint16(request, to.Port())); err != nil {
		return err
	}
	if _, err := io.ReadFull(connection, head[:]); err != nil {
		return fmt.Errorf("SOCKS request: %w", err)
	}
	if head[1] != 0 {
		return fmt.Errorf("SOCKS reply %d", head[1])
	}
	return skipBound(connection, head[3])
}

// skipBound reads the address and port that end a SOCKS reply.
func skipBound(connection *net.TCPConn, kind byte) error {
	var rest [258]byte
	size := map[byte]int{1: 4, 4: 16}[kind]
	if kind == 3 {
		if _, err := io.ReadFull(connection, rest[:1]); err != nil {
			return err
		}
		size = int(rest[0])
	} else if size == 0 {
		return fmt.Errorf("SOCKS reply with address type %d", kind)
	}
	_, err := io.ReadFull(connection, rest[:size+2])
	return err
}

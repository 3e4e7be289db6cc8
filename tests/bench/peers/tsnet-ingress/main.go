// tsnet-ingress is what one would write in an afternoon on Tailscale's own library: a node of a tailnet that takes public
// TCP, reads the server name, and offers the visitor to the node that has the name. It stands beside funnel-ingress's
// `tailnet` feed in the benchmarks, reads the same configuration (as JSON, what it knows of it), and serves the suite
// tests/tailnet as something to be right against.
//
//	main     the process: configuration, node, listeners
//	table    names to nodes, kept by the netmap
//	visit    one visitor: ClientHello, offer, bytes
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tailscale.com/envknob"
	"tailscale.com/net/netns"
	"tailscale.com/tsnet"
	"tailscale.com/types/logger"
)

type config struct {
	Listen []struct {
		Address    string
		PublicPort int `json:"public_port"`
	}
	WireGuard struct{ Listen []string }
	Feed      struct {
		URL     string
		Tailnet policy
	}
	StateDir string `json:"state_dir"`
}

// policy is what the map may make reachable.
type policy struct {
	Hostname      string
	AuthKeyFile   string `json:"auth_key_file"`
	PublicSuffix  string `json:"public_suffix"`
	Names         []nameRow
	Tags, Users   []string
	Ports         []int
	Transport     string
	ProxyProtocol any `json:"proxy_protocol"`
}

type nameRow struct{ Name, Node, Target string }

func main() {
	file := flag.String("c", "", "configuration")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, *file); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "tsnet-ingress:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var c config
	if err := json.Unmarshal(text, &c); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	envknob.SetNoLogsNoSupport()
	netns.SetEnabled(false)
	server := &tsnet.Server{Dir: filepath.Join(filepath.Dir(file), c.StateDir), Hostname: c.Feed.Tailnet.Hostname,
		ControlURL: c.Feed.URL, Logf: logger.Discard, UserLogf: say}
	if key, err := os.ReadFile(filepath.Join(filepath.Dir(file), c.Feed.Tailnet.AuthKeyFile)); err == nil {
		server.AuthKey = strings.TrimSpace(string(key))
	}
	for _, listen := range c.WireGuard.Listen {
		if at, err := netip.ParseAddrPort(listen); err == nil {
			server.Port = at.Port()
		}
	}
	defer server.Close()
	names := &table{policy: &c.Feed.Tailnet}
	if err := server.Start(); err != nil {
		return err
	}
	client, err := server.LocalClient()
	if err != nil {
		return err
	}
	go names.follow(ctx, client)
	for _, l := range c.Listen {
		listener, err := net.Listen("tcp", l.Address)
		if err != nil {
			return err
		}
		defer listener.Close()
		go accept(listener, func(conn *net.TCPConn) {
			v := &visit{conn: conn, port: l.PublicPort, names: names, dial: server.Dial}
			v.serve()
		})
	}
	say(" server event=ready")
	if _, err := server.Up(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func accept(listener net.Listener, serve func(*net.TCPConn)) {
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		} else if err != nil {
			time.Sleep(time.Millisecond)
			continue
		}
		go serve(conn.(*net.TCPConn))
	}
}

// say is a line of the log.
func say(format string, args ...any) {
	io.WriteString(os.Stderr, fmt.Sprintf(format, args...)+"\n")
}

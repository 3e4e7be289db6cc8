// Package lab is what the suites against other people's nodes have in common: the real funnel-ingress as a process,
// visitors and what they visit, and unmodified Tailscale nodes with their coordination server, DERP and STUN, all on
// loopback or in networks of a test's own.
//
//	lab         environment: programs, test authority, what keeps Tailscale's code off the network
//	authority   certificates that visitors and nodes trust
//	ingress     funnel-ingress: configuration, reload, access log, metrics
//	control     Tailscale's in-memory coordination server
//	region      DERP and STUN servers that can die
//	namespace   networks of a test's own
//	door        where an HTTP server is reached, and at times is not
//	node        a stock node, whatever runs it
//	tsnet       ... in this process
//	tailscaled  ... as a tailscaled of its own, told by its command line
//	visitor     visitors and their verdicts
//	backend     what stands behind nodes
//
// FUNNEL_BIN says where the programs are; build/asan without it. V=1 shows what nodes log.
package lab

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tailscale.com/envknob"
	"tailscale.com/net/netns"
	"tailscale.com/types/logger"
)

// What all tests of a run share.
var (
	CA             *Authority
	IngressProgram string // funnel-ingress, unless a suite sets another before Main
)

// Domain is what the names of testcontrol's nodes end in.
const Domain = "tail-scale.ts.net"

// Main is the TestMain of a suite.
func Main(m *testing.M) {
	status, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(status)
}

func run(m *testing.M) (int, error) {
	bin := os.Getenv("FUNNEL_BIN")
	if bin == "" {
		bin = BuildDirectory("asan")
	}
	bin, err := filepath.Abs(bin)
	if err != nil {
		return 1, err
	}
	if IngressProgram == "" {
		IngressProgram = filepath.Join(bin, "funnel-ingress")
	}
	if _, err := os.Stat(IngressProgram); err != nil {
		return 1, fmt.Errorf("build first, or set FUNNEL_BIN: %w", err)
	}
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if CA, err = newAuthority(filepath.Join(dir, "authority.pem")); err != nil {
		return 1, err
	}
	isolate(CA.file)
	return m.Run(), nil
}

// BuildDirectory is where things are built that outlive a run: in the build folder beside the one that has go.mod.
func BuildDirectory(name string) string {
	directory := "."
	for range 8 {
		if _, err := os.Stat(filepath.Join(directory, "go.mod")); err == nil {
			break
		}
		directory = filepath.Join("..", directory)
	}
	return filepath.Join(directory, "..", "build", name)
}

// isolate keeps Tailscale's code, here and in the processes started from here, on loopback: no logs uploaded, no port
// mapping, certificates only from a node's own store, and in that store those of our authority count as the world's.
func isolate(roots string) {
	os.Setenv("SSL_CERT_FILE", roots)
	os.Setenv("TS_ASSUME_NETWORK_UP_FOR_TEST", "true")
	os.Setenv("TS_PANIC_IF_HIT_MAIN_CONTROL", "true")
	envknob.SetNoLogsNoSupport()
	envknob.Setenv("TS_DISABLE_PORTMAPPER", "true")
	envknob.Setenv("TS_CERT_SHARE_MODE", "ro")
	netns.SetEnabled(false) // its sockets would be bound to the default route's interface
	log.SetFlags(log.Lmicroseconds)
}

// logf shows what somebody logs in V=1 runs.
func logf(who string) logger.Logf {
	if os.Getenv("V") == "" {
		return logger.Discard
	}
	return func(format string, args ...any) { fmt.Fprintf(os.Stderr, who+": "+format+"\n", args...) }
}

// Eventually polls until condition is true; what it waited for is in the failure.
func Eventually(t testing.TB, what string, timeout time.Duration, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(timeout); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", timeout, what)
		}
	}
}

func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

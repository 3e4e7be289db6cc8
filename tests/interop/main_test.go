package interop

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tailscale.com/envknob"
	"tailscale.com/net/netns"
)

// Where the programs are, and what all tests of this run share.
var (
	ingressProgram string
	authority      *Authority
)

const domain = "tail-scale.ts.net"

func TestMain(m *testing.M) {
	status, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
	}
	os.Exit(status)
}

func run(m *testing.M) (int, error) {
	bin := os.Getenv("FUNNEL_BIN")
	if bin == "" {
		bin = "../../build/asan"
	}
	bin, err := filepath.Abs(bin)
	if err != nil {
		return 1, err
	}
	ingressProgram = filepath.Join(bin, "funnel-ingress")
	if _, err := os.Stat(ingressProgram); err != nil {
		return 1, fmt.Errorf("build first, or set FUNNEL_BIN: %w", err)
	}
	dir, err := os.MkdirTemp("", "interop")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if authority, err = newAuthority(filepath.Join(dir, "authority.pem")); err != nil {
		return 1, err
	}
	isolate(authority.file)
	return m.Run(), nil
}

// isolate keeps Tailscale's code on loopback: no logs uploaded, no port mapping, certificates only from a node's own
// store, and in that store those of our authority count as the world's.
func isolate(roots string) {
	os.Setenv("SSL_CERT_FILE", roots)
	envknob.SetNoLogsNoSupport()
	envknob.Setenv("TS_DISABLE_PORTMAPPER", "true")
	envknob.Setenv("TS_CERT_SHARE_MODE", "ro")
	netns.SetEnabled(false) // its sockets would be bound to the default route's interface
	log.SetFlags(log.Lmicroseconds)
}

// eventually polls until condition is true; what it waited for is in the failure.
func eventually(t testing.TB, what string, timeout time.Duration, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(timeout); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", timeout, what)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

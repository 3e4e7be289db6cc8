package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tailscale.com/client/local"
)

// Tailscaled runs a node as people do: the daemon, told what to do by the command line program. It has no device and
// touches nothing of the machine (userspace networking).
type Tailscaled struct {
	Env    []string   // more of the daemon's environment
	In     *Namespace // nil: that of the test
	socket string
	cmd    *exec.Cmd
}

// daemonProgram is daemon and command line in one, as Tailscale builds it for small systems: one thing to link.
var daemonProgram = sync.OnceValues(func() (string, error) {
	program, err := filepath.Abs(BuildDirectory("tailscaled"))
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-tags", "ts_include_cli", "-o", program, "tailscale.com/cmd/tailscaled")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("tailscaled can't be built: %w\n%s", err, output)
	}
	return program, nil
})

func (p *Tailscaled) Start(t testing.TB, n *Node) *local.Client {
	t.Helper()
	program, err := daemonProgram()
	Must(t, err)
	// a socket's path may have 108 bytes, and a test's directory is named after the test
	sockets, err := os.MkdirTemp("", "ts")
	Must(t, err)
	t.Cleanup(func() { os.RemoveAll(sockets) })
	p.socket = filepath.Join(sockets, "s")
	p.cmd = exec.Command(program, "--tun=userspace-networking", "--statedir="+n.Dir, "--socket="+p.socket,
		fmt.Sprintf("--port=%d", n.Port))
	p.cmd.Env = append(os.Environ(), "TS_LOGS_DIR="+n.Dir, "TS_NO_LOGS_NO_SUPPORT=true", "TS_DISABLE_PORTMAPPER=true",
		"TS_CERT_SHARE_MODE=ro")
	p.cmd.Env = append(p.cmd.Env, p.Env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.OpenFile(filepath.Join(n.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	Must(t, err)
	defer log.Close()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.In.Do(func() { err = p.cmd.Start() })
	Must(t, err)
	t.Cleanup(func() {
		if text, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("the log of %s ended so:\n%s", n.Host, tail(string(text), 40))
		}
	})
	client := &local.Client{Socket: p.socket, UseSocketOnly: true}
	Eventually(t, "tailscaled answers", 20*time.Second, func() bool {
		_, err := client.StatusWithoutPeers(context.Background())
		return err == nil
	})
	return client
}

// Command is the command line program on this daemon.
func (p *Tailscaled) Command(arguments ...string) *exec.Cmd {
	program, err := daemonProgram()
	if err != nil {
		panic(err) // Start would have said it
	}
	cmd := exec.Command(program, append([]string{"--socket=" + p.socket}, arguments...)...)
	cmd.Env = append(os.Environ(), "TS_BE_CLI=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Run is a command that must do, and end.
func (p *Tailscaled) Run(t testing.TB, arguments ...string) string {
	t.Helper()
	output, err := p.Command(arguments...).CombinedOutput()
	if err != nil {
		t.Fatalf("tailscale %s: %v\n%s", strings.Join(arguments, " "), err, output)
	}
	return string(output)
}

// UpCommand is `tailscale up` as this node does it, and more.
func (p *Tailscaled) UpCommand(n *Node, more ...string) *exec.Cmd {
	arguments := []string{"up", "--login-server=" + n.URL, "--hostname=" + n.Host, "--accept-dns=false",
		"--netfilter-mode=off", "--timeout=30s"}
	if n.AuthKey != "" {
		arguments = append(arguments, "--auth-key="+n.AuthKey)
	}
	return p.Command(append(arguments, more...)...)
}

func (p *Tailscaled) Up(_ context.Context, n *Node) error {
	output, err := p.UpCommand(n).CombinedOutput()
	if err != nil {
		return fmt.Errorf("tailscale up: %w\n%s", err, output)
	}
	return nil
}

func (p *Tailscaled) Close() error {
	p.cmd.Process.Signal(syscall.SIGTERM)
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(10 * time.Second):
		p.cmd.Process.Kill()
		return fmt.Errorf("tailscaled did not end within 10 s of SIGTERM: %w", <-ended)
	}
}

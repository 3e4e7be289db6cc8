package interop

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"funnel-ingress/tests/lab"
)

// boringtun is Cloudflare's implementation in Rust, in a process of its own: see boringtun/src/main.rs.
type boringtun struct {
	input  io.Closer
	cmd    *exec.Cmd
	socket io.Closer
	closed chan struct{}
}

// boringtunProgram needs cargo.
var boringtunProgram = sync.OnceValues(func() (program string, err error) {
	cargo, err := exec.LookPath("cargo")
	if err != nil {
		return "", err
	}
	target, err := filepath.Abs(lab.BuildDirectory("boringtun"))
	if err != nil {
		return "", err
	}
	build := exec.Command(cargo, "build", "--quiet", "--locked", "--release", "--target-dir", target)
	build.Dir = "boringtun"
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cargo build: %w\n%s", err, output)
	}
	return filepath.Join(target, "release", "boringtun-peer"), nil
})

func needBoringtun(t *testing.T) {
	t.Helper()
	if _, err := boringtunProgram(); errors.Is(err, exec.ErrNotFound) {
		lab.NotTested(t, "no cargo here: nothing is proven against boringtun")
	} else if err != nil {
		t.Fatal(err)
	}
}

func TestBoringtun(t *testing.T) {
	t.Parallel()
	needBoringtun(t)
	testImplementation(t, startBoringtun)
}

func startBoringtun(p *Peer) carrier {
	program, err := boringtunProgram()
	lab.Must(p.t, err)
	socket := listenUDP(p.t)
	arguments := []string{"127.0.0.1:" + strconv.Itoa(p.udp), udpAddress(socket).String(), strconv.Itoa(p.keepalive)}
	if p.calls.IsValid() {
		arguments = append(arguments, p.calls.String())
	}
	b := &boringtun{cmd: exec.Command(program, arguments...), socket: socket, closed: make(chan struct{})}
	input, err := b.cmd.StdinPipe()
	lab.Must(p.t, err)
	b.input, b.cmd.Stderr = input, os.Stderr
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	lab.Must(p.t, b.cmd.Start())
	private, public := p.key.Raw32(), p.in.key.Public().Raw32()
	_, err = input.Write(append(private[:], public[:]...))
	lab.Must(p.t, err)
	buffer := make([]byte, 65536)
	_, at, err := socket.ReadFromUDPAddrPort(buffer) // its greeting
	lab.Must(p.t, err)
	go func() {
		for {
			n, _, err := socket.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			p.packets.Write([][]byte{buffer[:n]}, 0)
		}
	}()
	go func() {
		for {
			select {
			case packet := <-p.packets.out:
				socket.WriteToUDPAddrPort(packet, at)
			case <-b.closed:
				return
			}
		}
	}()
	return b
}

func (b *boringtun) close() {
	close(b.closed)
	b.input.Close()
	b.cmd.Wait()
	b.socket.Close()
}

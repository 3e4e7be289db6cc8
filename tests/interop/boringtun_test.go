package interop

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// boringtun is Cloudflare's implementation in Rust, in a process of its own: see boringtun/src/main.rs.
type boringtun struct {
	input  io.Closer
	cmd    *exec.Cmd
	socket io.Closer
	closed chan struct{}
}

// TestBoringtun needs cargo; it is the one part of this suite that may be skipped where the rest runs.
func TestBoringtun(t *testing.T) {
	t.Parallel()
	cargo, err := exec.LookPath("cargo")
	if err != nil {
		t.Skip("no cargo here: nothing is proven against boringtun")
	}
	target, err := filepath.Abs("../../build/boringtun")
	must(t, err)
	build := exec.Command(cargo, "build", "--quiet", "--locked", "--release", "--target-dir", target)
	build.Dir = "boringtun"
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cargo build: %v\n%s", err, output)
	}
	program := filepath.Join(target, "release", "boringtun-peer")
	testImplementation(t, func(p *Peer) carrier { return startBoringtun(p, program) })
}

func startBoringtun(p *Peer, program string) carrier {
	socket := listenUDP(p.t)
	arguments := []string{"127.0.0.1:" + strconv.Itoa(p.udp), udpAddress(socket).String(), strconv.Itoa(p.keepalive)}
	if p.calls.IsValid() {
		arguments = append(arguments, p.calls.String())
	}
	b := &boringtun{cmd: exec.Command(program, arguments...), socket: socket, closed: make(chan struct{})}
	input, err := b.cmd.StdinPipe()
	must(p.t, err)
	b.input, b.cmd.Stderr = input, os.Stderr
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(p.t, b.cmd.Start())
	private, public := p.key.Raw32(), p.in.key.Public().Raw32()
	_, err = input.Write(append(private[:], public[:]...))
	must(p.t, err)
	buffer := make([]byte, 65536)
	_, at, err := socket.ReadFromUDPAddrPort(buffer) // its greeting
	must(p.t, err)
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

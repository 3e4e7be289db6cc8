package lab

import (
	"context"
	"testing"

	"tailscale.com/client/local"
	"tailscale.com/tsnet"
	"tailscale.com/types/logger"
)

// Tsnet runs a node in this process.
type Tsnet struct{ Server *tsnet.Server }

func (p *Tsnet) Start(t testing.TB, n *Node) *local.Client {
	t.Helper()
	p.Server = &tsnet.Server{Dir: n.Dir, Hostname: n.Host, ControlURL: n.URL, AuthKey: n.AuthKey, Port: n.Port,
		Logf: logf(n.Host), UserLogf: logger.Discard}
	Must(t, p.Server.Start())
	client, err := p.Server.LocalClient()
	Must(t, err)
	return client
}

func (p *Tsnet) Up(ctx context.Context, _ *Node) error {
	_, err := p.Server.Up(ctx)
	return err
}

func (p *Tsnet) Close() error { return p.Server.Close() }

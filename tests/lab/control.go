package lab

import (
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/logger"
)

// Control is Tailscale's in-memory coordination server with a DERP and a STUN server.
type Control struct {
	*testcontrol.Server
}

// NewControl has nodes that may funnel these ports.
func NewControl(t testing.TB, ports []int) *Control {
	capabilities := tailcfg.NodeCapMap{
		tailcfg.CapabilityHTTPS:                       nil,
		tailcfg.NodeAttrFunnel:                        nil,
		funnelPorts(ports):                            nil,
		tailcfg.NodeAttrDisableUPnP:                   nil,
		tailcfg.NodeAttrDisableCaptivePortalDetection: nil,
	}
	c := &Control{&testcontrol.Server{
		Logf:                    logger.Discard,
		DERPMap:                 integration.RunDERPAndSTUN(t, logger.Discard, "127.0.0.1"),
		DNSConfig:               &tailcfg.DNSConfig{Proxied: true},
		MagicDNSDomain:          Domain,
		DefaultNodeCapabilities: &capabilities,
	}}
	c.HTTPTestServer = httptest.NewServer(c.Server)
	t.Cleanup(func() {
		c.HTTPTestServer.CloseClientConnections()
		c.HTTPTestServer.Close()
	})
	return c
}

// funnelPorts is the node attribute that says which ports an administrator lets nodes funnel.
func funnelPorts(ports []int) tailcfg.NodeCapability {
	var list []string
	for _, port := range ports {
		list = append(list, strconv.Itoa(port))
	}
	return tailcfg.CapabilityFunnelPorts + tailcfg.NodeCapability("?ports="+strings.Join(list, ","))
}

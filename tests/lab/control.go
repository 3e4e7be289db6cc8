package lab

import (
	"strconv"
	"strings"
	"testing"

	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/logger"
)

// Control is Tailscale's in-memory coordination server.
type Control struct {
	*testcontrol.Server
	Door *Door
}

// NewControl has nodes that may funnel these ports, and sends them to these DERP regions.
func NewControl(t testing.TB, ports []int, regions ...*Region) *Control {
	capabilities := tailcfg.NodeCapMap{
		tailcfg.CapabilityHTTPS:                       nil,
		tailcfg.NodeAttrFunnel:                        nil,
		funnelPorts(ports):                            nil,
		tailcfg.NodeAttrDisableUPnP:                   nil,
		tailcfg.NodeAttrDisableCaptivePortalDetection: nil,
	}
	c := &Control{Server: &testcontrol.Server{
		Logf:                    logger.Discard,
		DERPMap:                 DERPMap(regions...),
		DNSConfig:               &tailcfg.DNSConfig{Proxied: true},
		MagicDNSDomain:          Domain,
		DefaultNodeCapabilities: &capabilities,
	}}
	c.Door = NewDoor(t, c.Server, nil)
	c.ExplicitBaseURL = "http://" + c.Door.Address
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

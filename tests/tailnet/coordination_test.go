package tailnet

import (
	"os"
	"testing"

	"funnel-ingress/tests/lab"
)

// coordination is a running coordination server, as scenarios need it.
type coordination interface {
	url() string
	region() *lab.Region // the first of those it names
	domain() string      // what the names of its nodes end in
	// grants says whether it lets the ingress funnel to every node; if not, nodes of the ingress's own user can be made to
	// accept it by their environment.
	grants() bool
	certificates() bool // whether nodes can have certificates for their own names

	authKey(t testing.TB, user string) string // with which nodes join as this user
	login(user string) string                 // how policy calls the user
	owner(t testing.TB, host, user string)    // a node that joined is this user's from now on; nothing if it is already
	approve(t testing.TB, url string, user string)
	remove(t testing.TB, host string)
	expire(t testing.TB, host string) // the node's key ends now
	retire(t testing.TB)              // the node that had it has another: a server that keeps both forgets the old one
	away()                            // it is gone, and what it knows is kept
	back(t testing.TB)                // and it is there again
}

// each runs a scenario on every coordination server at hand, beside the others.
func each(t *testing.T, scenario func(*testing.T, coordination)) {
	eachStarts(t, func(t *testing.T, start starter) { scenario(t, start(t, lab.NewRegion(t, 1))) })
}

// starter starts a coordination server that names these regions.
type starter func(t testing.TB, regions ...*lab.Region) coordination

// eachStarts is for a scenario that has more to say of the server.
func eachStarts(t *testing.T, scenario func(*testing.T, starter)) {
	t.Parallel()
	servers(t, func(t *testing.T, start starter) {
		t.Parallel()
		scenario(t, start)
	})
}

// eachOfOurs is for what the ingress in Go does in a way of its own.
func eachOfOurs(t *testing.T, scenario func(*testing.T, coordination)) {
	ours(t)
	each(t, scenario)
}

func ours(t *testing.T) {
	if peer {
		lab.NotTested(t, "the ingress in Go does that in a way of its own")
	}
}

// alone does so while no other scenario runs.
func alone(t *testing.T, scenario func(*testing.T, coordination)) {
	servers(t, func(t *testing.T, start starter) { scenario(t, start(t, lab.NewRegion(t, 1))) })
}

func servers(t *testing.T, scenario func(*testing.T, starter)) {
	t.Run("testcontrol", func(t *testing.T) {
		scenario(t, func(t testing.TB, regions ...*lab.Region) coordination { return newTestcontrol(t, regions...) })
	})
	if os.Getenv("HEADSCALE") != "" {
		t.Run("headscale", func(t *testing.T) {
			scenario(t, func(t testing.TB, regions ...*lab.Region) coordination { return newHeadscale(t, regions...) })
		})
	}
}

/* fuzz_disco.c - any bytes as a datagram on the socket: they are one kind, nothing is read past their end, and what can
 * be read can be written and read back. */
#include <string.h>

#include "common/base/bug.h"
#include "common/tailnet/datagram.h"
#include "common/tailnet/disco.h"
#include "common/tailnet/stun.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* as if the fuzzer held the keys: the bytes are what stands in the box */
static void read_plaintext(const uint8_t *data, size_t size)
{
    static const uint8_t key[32] = {1}, nonce[24] = {2};
    struct disco_message m, back;
    uint8_t packet[DISCO_BYTES_MAX];

    if (!disco_parse(data, size, &m) || m.type == DISCO_OTHER)
        return;
    size_t len = disco_seal(packet, &m, key, nonce, key);

    BUG_ON(len > sizeof(packet) || !disco_open(packet, len, key, &back));
    BUG_ON(back.type != m.type || memcmp(back.txid, m.txid, sizeof(m.txid)) != 0);
    BUG_ON(back.has_node_key != m.has_node_key || memcmp(back.node_key, m.node_key, sizeof(m.node_key)) != 0);
    BUG_ON(!addrport_equal(&back.source, &m.source) || back.endpoints_count != m.endpoints_count);
    for (size_t i = 0; i < m.endpoints_count; i++)
        BUG_ON(!addrport_equal(&back.endpoints[i], &m.endpoints[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t key[32] = {1};
    struct disco_message m;
    uint8_t txid[STUN_TXID_BYTES];
    struct addrport mapped;

    switch (datagram_kind(data, size)) {
    case DATAGRAM_DISCO:
        BUG_ON(disco_open(data, size, key, &m)); /* nobody forges a box */
        break;
    case DATAGRAM_STUN:
        if (stun_answer_parse(data, size, txid, &mapped))
            BUG_ON(addr_is_none(&mapped.addr) || mapped.port == 0);
        break;
    case DATAGRAM_RELAY:
    case DATAGRAM_WIREGUARD:
        BUG_ON(stun_answer_parse(data, size, txid, &mapped));
        break;
    }
    read_plaintext(data, size);
    return 0;
}

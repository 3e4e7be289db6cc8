/* control_body.h - what we say to a coordination server, as JSON, and what it answers to a registration. For this folder. */
#ifndef TAILNET_CONTROL_BODY_H
#define TAILNET_CONTROL_BODY_H

#include "common/tailnet/control.h"

/* Who speaks. All of it is borrowed. */
struct control_body {
    const char *hostname;
    const uint8_t *node;     /* public */
    const uint8_t *old_node; /* public; NULL: not exchanging it */
    const struct control_whereabouts *whereabouts;
};

/* Each returns the text, which the caller wipes (an auth key may be in it) and frees; or NULL: out of memory. */

/* control_body_register - auth_key "" and followup "": neither. Every character of auth_key is a letter, digit, '-', '_'
 * or '.' (see control_auth_key_ok). */
char *control_body_register(const struct control_body *body, const char *auth_key, const char *followup, bool ephemeral);
char *control_body_log_out(const struct control_body *body);
char *control_body_map(const struct control_body *body);
char *control_body_update(const struct control_body *body); /* a lite update: of ourselves, and nothing wanted back */

struct control_answer {
    char error[CONTROL_TEXT_MAX];
    char auth_url[CONTROL_TEXT_MAX];
    bool key_expired;
    bool authorized;
};

/* control_text_clean - for a log line and a terminal: visible ASCII, without what would end a quotation; in place. */
void control_text_clean(char *text);

/* control_answer_read - a RegisterResponse. False: that is not one. Texts are cleaned of what a terminal would obey. */
bool control_answer_read(const char *text, size_t len, struct control_answer *out);

/* control_server_key_read - the answer to GET /key. False: no key in it. */
bool control_server_key_read(const char *text, size_t len, uint8_t out[TAILNET_KEY_BYTES]);

#endif

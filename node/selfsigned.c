#include "node/selfsigned.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/addr.h"

#define SERIAL_BITS  127 /* positive, and more than the 64 random bits that browsers ask for */
#define BACKDATE_S   3600
#define COMMON_MAX   64  /* ub-common-name, RFC 5280 appendix A.1 */

static int add_extension(X509 *certificate, int nid, const char *value)
{
    X509V3_CTX ctx;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    int ok = extension && X509_add_ext(certificate, extension, -1);

    X509_EXTENSION_free(extension);
    return ok;
}

/* built as a structure, not as text, so that no name can say more than a name */
static int add_names(X509 *certificate, const char *const *names, size_t count)
{
    GENERAL_NAMES *list = sk_GENERAL_NAME_new_null();
    int ok = list != NULL;

    for (size_t i = 0; ok && i < count; i++) {
        GENERAL_NAME *name = GENERAL_NAME_new();
        ASN1_STRING *value = NULL;
        struct addr addr;
        bool is_addr = addr_parse(names[i], strlen(names[i]), &addr);

        if (is_addr)
            value = ASN1_OCTET_STRING_new();
        else
            value = ASN1_IA5STRING_new();
        ok = name && value;
        if (ok && is_addr)
            ok = addr_is_v4(&addr) ? ASN1_STRING_set(value, addr_v4_bytes(&addr), 4)
                                   : ASN1_STRING_set(value, addr.b, sizeof(addr.b));
        else if (ok)
            ok = ASN1_STRING_set(value, names[i], -1);
        if (ok) {
            GENERAL_NAME_set0_value(name, is_addr ? GEN_IPADD : GEN_DNS, value);
            value = NULL;
            ok = sk_GENERAL_NAME_push(list, name) > 0;
        }
        ASN1_STRING_free(value);
        if (!ok)
            GENERAL_NAME_free(name);
    }
    ok = ok && X509_add1_ext_i2d(certificate, NID_subject_alt_name, list, 0, 0) == 1;
    sk_GENERAL_NAME_pop_free(list, GENERAL_NAME_free);
    return ok;
}

static int set_serial(X509 *certificate)
{
    BIGNUM *n = BN_new();
    int ok = n && BN_rand(n, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) &&
             BN_to_ASN1_INTEGER(n, X509_get_serialNumber(certificate));

    BN_free(n);
    return ok;
}

static X509 *make_certificate(EVP_PKEY *key, const char *const *names, size_t count, int days)
{
    X509 *c = X509_new();
    X509_NAME *subject = c ? X509_get_subject_name(c) : NULL;
    const char *common = strlen(names[0]) <= COMMON_MAX ? names[0] : "self-signed";

    if (c && X509_set_version(c, X509_VERSION_3) && set_serial(c) &&
        X509_gmtime_adj(X509_getm_notBefore(c), -BACKDATE_S) &&
        X509_time_adj_ex(X509_getm_notAfter(c), days, 0, NULL) &&
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)common, -1, -1, 0) &&
        X509_set_issuer_name(c, subject) && X509_set_pubkey(c, key) && add_names(c, names, count) &&
        /* CA: it must be able to stand as its own trust anchor */
        add_extension(c, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
        add_extension(c, NID_key_usage, "critical,digitalSignature,keyCertSign") &&
        add_extension(c, NID_ext_key_usage, "serverAuth") && add_extension(c, NID_subject_key_identifier, "hash") &&
        X509_sign(c, key, EVP_sha256()))
        return c;
    X509_free(c);
    return NULL;
}

/* a new file for writing; *rc gets the error. FILE, as PEM_write wants it */
static FILE *create(const char *path, mode_t mode, int *rc)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");

    if (!file) {
        *rc = -errno;
        if (fd >= 0)
            close(fd);
    }
    return file;
}

static int write_pem(const char *path, mode_t mode, EVP_PKEY *key, X509 *certificate)
{
    int rc = 0;
    FILE *file = create(path, mode, &rc);

    if (!file)
        return rc;
    int ok = key ? PEM_write_PKCS8PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) : PEM_write_X509(file, certificate);

    if (fclose(file) != 0 || !ok) {
        rc = ok ? -errno : -EIO;
        unlink(path);
    }
    return rc;
}

int selfsigned_write(const char *const *names, size_t names_count, int days, const char *certificate_path,
                     const char *key_path, char *why, size_t why_cap)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = key ? make_certificate(key, names, names_count, days) : NULL;
    int rc = -EIO;

    if (!certificate) {
        const char *reason = ERR_reason_error_string(ERR_peek_error());

        snprintf(why, why_cap, "no certificate: %s", reason ? reason : "out of memory");
        goto out;
    }
    rc = write_pem(key_path, 0600, key, NULL);
    if (rc != 0) {
        snprintf(why, why_cap, "%s: %s", key_path, strerror(-rc));
        goto out;
    }
    rc = write_pem(certificate_path, 0644, NULL, certificate);
    if (rc != 0) {
        snprintf(why, why_cap, "%s: %s", certificate_path, strerror(-rc));
        unlink(key_path);
    }
out:
    X509_free(certificate);
    EVP_PKEY_free(key);
    return rc;
}

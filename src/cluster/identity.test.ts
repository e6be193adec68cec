import { equal, match, notEqual, ok } from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { test } from "node:test";
import { createCertificateAuthority, newJoinToken, newUnlockKey, tlsInfoOf } from "./index.ts";

test("a new certificate authority is a self-signed CA whose key fits", async () => {
  const now = Date.UTC(2026, 0, 1);
  const ca = await createCertificateAuthority(now);
  const seen = new X509Certificate(ca.certificate);
  equal(seen.subject, "CN=swarm-ca");
  ok(seen.ca);
  ok(seen.verify(seen.publicKey));
  ok(seen.checkPrivateKey(createPrivateKey(ca.key)));
  ok(Date.parse(seen.validFrom) < now && Date.parse(seen.validTo) > now + 19 * 365 * 86_400_000);
});

test("TLSInfo holds the issuer's subject and public key as DER", async () => {
  const ca = await createCertificateAuthority(Date.now());
  const info = tlsInfoOf(ca.certificate);
  const der = new X509Certificate(ca.certificate).publicKey.export({ type: "spki", format: "der" });
  equal(info.certIssuerPublicKey, der.toString("base64"));
  ok(Buffer.from(info.certIssuerSubject, "base64").includes("swarm-ca"));
  equal(info.trustRoot, ca.certificate);
});

test("join tokens pin the CA and differ in their secret", async () => {
  const { certificate } = await createCertificateAuthority(Date.now());
  const [a, b] = [newJoinToken(certificate), newJoinToken(certificate)];
  match(a, /^SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}$/);
  equal(a.split("-")[2], b.split("-")[2]);
  notEqual(a, b);
  match(newUnlockKey(), /^SWMKEY-1-[A-Za-z0-9+/]{43}$/);
});

// The swarm's certificate authority: its root certificate and key, and what the API shows of them. Join tokens are in join-token.ts.
import "reflect-metadata"; // @peculiar/x509's container needs it before it is loaded
import { webcrypto } from "node:crypto";
import {
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";
import type { TlsInfo } from "../model/objects.ts";

/** swarmkit's choice: ECDSA over P-256 (ca/certificates.go). */
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
/** swarmkit's RootCAExpiration: 20 years of 365 days. */
const ROOT_LIFETIME_MS = 20 * 365 * 24 * 3600 * 1000;
/** Clocks of machines that join may be behind: swarmkit's CertBackdate. */
const BACKDATE_MS = 3600 * 1000;

export interface CertificateAuthority {
  /** The root certificate, PEM. */
  readonly certificate: string;
  /** PKCS#8 PEM. */
  readonly key: string;
}

/** A new root certificate, CN=swarm-ca, as `docker swarm init` makes it. */
export async function createCertificateAuthority(now: number): Promise<CertificateAuthority> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: "CN=swarm-ca",
    notBefore: new Date(now - BACKDATE_MS),
    notAfter: new Date(now + ROOT_LIFETIME_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  const lines = pkcs8.match(/.{1,64}/g)!.join("\n");
  return {
    certificate: `${certificate.toString("pem")}\n`,
    key: `-----BEGIN PRIVATE KEY-----\n${lines}\n-----END PRIVATE KEY-----\n`,
  };
}

/** The TLSInfo of the Docker API: the trusted roots, and base64 of the issuer's subject and public key (DER). */
export function tlsInfoOf(certificate: string): TlsInfo {
  const parsed = new X509Certificate(certificate);
  return {
    trustRoot: certificate,
    certIssuerSubject: Buffer.from(parsed.subjectName.toArrayBuffer()).toString("base64"),
    certIssuerPublicKey: Buffer.from(parsed.publicKey.rawData).toString("base64"),
  };
}

"""What the server keeps of artifacts: their manifests and files, as far as logging one needs it."""

from __future__ import annotations

import base64
import json
from typing import Any


class Artifacts:
    """The artifacts of all runs."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        """What was uploaded, by the name it was to have."""
        self.committed: list[dict[str, Any]] = []
        """The artifacts that were committed, in that order: what ``createArtifact`` was given."""
        self._created: dict[str, dict[str, Any]] = {}

    def put(self, name: str, data: bytes) -> None:
        """Keep what was uploaded."""
        self.stored[name] = data

    def get(self, name: str) -> bytes:
        """What was uploaded under a name."""
        return self.stored[name.removeprefix("artifact/")]

    def manifest(self, index: int = -1) -> dict[str, Any]:
        """The manifest of a committed artifact."""
        identity = self.committed[index]["id"]
        return json.loads(self.stored[f"{identity}/wandb_manifest.json"])

    def files(self, index: int = -1) -> dict[str, bytes]:
        """The files of a committed artifact, by name."""
        identity = self.committed[index]["id"]
        return {
            name.removeprefix(f"{identity}/files/"): data
            for name, data in self.stored.items()
            if name.startswith(f"{identity}/files/")
        }

    def resolve(self, name: str, given: dict[str, Any], base: str) -> Any:
        """What a field of a query or mutation is; null where artifacts have nothing to do with it."""
        action = getattr(self, f"_{name}", None)
        return action(given, base) if action else None

    def _createArtifact(self, given: dict[str, Any], base: str) -> Any:
        identity = base64.b64encode(f"Artifact:{len(self._created)}".encode()).decode().rstrip("=")
        self._created[identity] = {**given, "id": identity, "state": "PENDING"}
        return {"artifact": {"id": identity, "state": "PENDING", "artifactSequence": {"id": "c2Vx"}}}

    def _createArtifactManifest(self, given: dict[str, Any], base: str) -> Any:
        identity = given["artifactID"]
        url = f"{base}/storage/artifact/{identity}/{given['name']}"
        file = {"id": "ZmlsZQ==", "uploadUrl": url, "uploadHeaders": [], "directUrl": url}
        return {"artifactManifest": {"id": f"{identity}-manifest", "file": file}}

    def _updateArtifactManifest(self, given: dict[str, Any], base: str) -> Any:
        identity = given["artifactManifestID"].removesuffix("-manifest")
        return self._createArtifactManifest({"artifactID": identity, "name": "wandb_manifest.json"}, base)

    def _createArtifactFiles(self, given: dict[str, Any], base: str) -> Any:
        edges = []
        for spec in given["artifactFiles"]:
            url = f"{base}/storage/artifact/{spec['artifactID']}/files/{spec['name']}"
            node = {
                "id": "ZmlsZQ==",
                "name": spec["name"],
                "displayName": spec["name"],
                "storagePath": spec["name"],
                "uploadUrl": url,
                "uploadHeaders": [],
                "uploadMultipartUrls": None,
                "artifact": {"id": spec["artifactID"]},
            }
            edges.append({"node": node})
        return {"files": {"edges": edges}}

    def _commitArtifact(self, given: dict[str, Any], base: str) -> Any:
        created = self._created[given["artifactID"]]
        created["state"] = "COMMITTED"
        self.committed.append(created)
        return {"artifact": {"id": created["id"], "digest": created.get("digest"), "state": "COMMITTED"}}

    def _artifact(self, given: dict[str, Any], base: str) -> Any:
        created = self._created.get(given.get("id", ""))
        if created is None:
            return None
        project = {"id": "UA", "internalId": "1", "name": created["projectName"], "entity": {"name": "tester"}}
        name = (created.get("artifactCollectionNames") or [created.get("artifactCollectionName", "")])[0]
        return {
            "__typename": "Artifact",
            "id": created["id"],
            "artifactSequence": {"__typename": "ArtifactSequence", "name": name, "project": project},
            "versionIndex": 0,
            "artifactType": {"name": created["artifactTypeName"]},
            "ttlDurationSeconds": -2,
            "ttlIsInherited": True,
            "tags": [],
            "state": created["state"],
            "size": 0,
            "digest": created.get("digest") or "",
            "fileCount": 0,
            "createdAt": "2026-01-01T00:00:00Z",
            "aliases": [],
        }

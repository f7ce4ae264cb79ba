"""Rotates one key with the public client library pyomsdk and prints what it was told, as JSON.

Usage: rotate.py URL PUBLIC-KEY PRIVATE-KEY PROJECT-ID CLUSTER-ID
"""

import json
import sys

from pyomsdk import OpsManagerClient
from pyomsdk.resources import (
    BackupConfigurationsResource,
    BackupEncryptionKeysResource as Keys,
    ClustersResource,
    ProjectsResource,
)

url, public_key, private_key, project, cluster = sys.argv[1:]
client = OpsManagerClient(url, public_key, private_key)
keys = client.backup_encryption_keys_resource


def read_key():
    path = Keys.RetrieveKmipMasterKeyIdPathParams(project_id=project, cluster_id=cluster)
    return keys.retrieve_kmip_master_key_id(path, Keys.RetrieveKmipMasterKeyIdQueryParams())


def rotate_key():
    path = Keys.RotateKmipMasterKeyIdPathParams(project_id=project, cluster_id=cluster)
    return keys.rotate_kmip_master_key_id(path, Keys.RotateKmipMasterKeyIdQueryParams())


def clusters():
    path = ClustersResource.GetAllFromOneProjectPathParams(project_id=project)
    query = ClustersResource.GetAllFromOneProjectQueryParams()
    return client.clusters_resource.get_all_from_one_project(path, query)


def backup_configs():
    path = BackupConfigurationsResource.GetAllPathParams(project_id=project)
    query = BackupConfigurationsResource.GetAllQueryParams()
    return client.backup_configurations_resource.get_all(path, query)


told = {
    "projects": client.projects_resource.get_all(ProjectsResource.GetAllQueryParams()),
    "clusters": clusters(),
    "backup_configs": backup_configs(),
    "before": read_key(),
    "rotation": rotate_key(),
    "after": read_key(),
}
json.dump(told, sys.stdout)
